//! What the Kubernetes API asks for, as a value.
//!
//! A [`Model`] takes in API objects as they change and keeps the desired state of the node: every Service port of
//! every address family with the frontends it answers on, the backends it sends to and how it treats its clients.
//! [`build()`] does the same for a complete set of objects ([`Objects`]) at once. Nothing here reads a file, a socket, a
//! clock or the kernel, so that one set of objects always gives one state.
//!
//! The rules are those of kube-proxy. What cannot be had is never silent: it is a [`Notice`] that names the object and
//! the field.

mod account;
mod address;
mod algorithm;
mod backend;
mod build;
mod cidr;
mod claim;
mod compute;
mod delta;
mod desired;
mod endpoint;
mod engine;
mod facts;
#[cfg(test)]
mod fixture;
mod frontend;
mod frontends;
mod health_check;
pub(crate) mod name;
mod no_local;
mod node;
mod notice;
mod notice_board;
mod objects;
mod opt_out;
mod policy;
mod pool;
mod port;
mod protocol;
mod rate;
mod resource_version;
mod select;
pub mod self_probe;
mod service;
mod service_cidr;
mod settings;
mod skip;
mod slice;
mod slices;
mod snapshot;
mod source_ranges;
mod vip;
mod weights;

pub use self::{
    account::{Account, EndpointAccount, SliceAccount},
    address::{Family, parse_address},
    algorithm::Algorithm,
    backend::{Backend, BackendState, Lists},
    build::build,
    delta::Delta,
    engine::Model,
    frontend::{Frontend, FrontendKind},
    frontends::Frontends,
    health_check::HealthCheck,
    no_local::{NoLocal, PerFamily},
    node::NodeState,
    notice::{Notice, ObjectKind, Reason},
    objects::{ObjectKey, Objects},
    opt_out::{CONFIG_HASH, OptOut, OptOuts, SOCKET_LB},
    policy::{Policy, TrafficPolicy},
    protocol::Protocol,
    rate::Rate,
    resource_version::ResourceVersion,
    select::{List, Outcome, SourceClass},
    service::{ServicePort, ServicePortKey},
    settings::Settings,
    skip::{SkipReason, Skipped},
    snapshot::Snapshot,
    source_ranges::SourceRanges,
};
