//! The agent of svclb as a library.

pub mod agent;
pub mod apiserver;
pub mod cgroup;
pub mod cli;
mod compact;
pub mod condition;
pub mod config;
pub mod datapath;
pub mod explain;
pub mod health;
#[cfg(test)]
mod hostile;
pub mod http;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod netdev;
pub mod netfilter;
pub mod page;
pub mod plan;
pub mod ports;
pub mod rbac;
pub mod report;
pub mod sandbox;
pub mod sockets;
pub mod source;
pub mod sys;
pub mod sysctl;
pub mod takeover;
pub mod top;
pub mod usage;
