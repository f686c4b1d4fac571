//! The agent of svclb as a library.

pub mod agent;
pub mod cgroup;
pub mod cli;
pub mod datapath;
pub mod manifest;
pub mod model;
pub mod netdev;
pub mod plan;
pub mod rbac;
pub mod report;
pub mod sandbox;
pub mod sys;
