//! The agent of svclb as a library.

pub mod agent;
pub mod apiserver;
pub mod cgroup;
pub mod cli;
mod compact;
pub mod config;
pub mod datapath;
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
