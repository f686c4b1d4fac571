//! The agent of svclb as a library.

pub mod datapath;
pub mod manifest;
pub mod model;
pub mod netdev;
pub mod plan;
pub mod sandbox;
pub mod sys;
