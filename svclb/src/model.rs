//! What the Kubernetes API asks for, as a value.
//!
//! [`build()`] turns a set of API objects ([`Objects`]) into a [`Snapshot`]: every Service port of every
//! address family with the frontends it answers on and the backends it sends to. Nothing here reads a file, a
//! socket, a clock or the kernel, so that one set of objects always gives one snapshot.
//!
//! The rules are those of kube-proxy. What this version does not honour yet is never silent: it is a
//! [`Notice`] that names the object and the field.

mod address;
mod backend;
mod build;
mod claim;
mod endpoint;
#[cfg(test)]
mod fixture;
mod frontend;
mod health_check;
mod node;
mod notice;
mod objects;
mod policy;
mod port;
mod protocol;
mod service;
mod skip;
mod snapshot;
mod unhonoured;
mod vip;

pub use self::{
    address::{Family, parse_address},
    backend::{Backend, BackendState, Lists},
    build::{Settings, build},
    frontend::{Frontend, FrontendKind},
    health_check::HealthCheck,
    node::NodeState,
    notice::Notice,
    objects::{ObjectKey, Objects},
    policy::{Algorithm, Policy, SourceRanges, TrafficPolicy},
    protocol::Protocol,
    service::{ServicePort, ServicePortKey},
    skip::{SkipReason, Skipped},
    snapshot::Snapshot,
};
