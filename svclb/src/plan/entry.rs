//! Keys and values of the tables, as the agent thinks of them.

use std::net::IpAddr;

use svclb_common::service::{FrontendKind, ServiceId, Slab};

use crate::model::{self, Protocol, ServicePortKey};

/// Number of a node's name. 0 is none.
pub type NodeId = u32;

/// What a client hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey {
    /// The virtual address; `None` is every address of the node (NodePort).
    pub address: Option<IpAddr>,
    /// Port, host byte order.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl FrontendKey {
    /// The key of `frontend` of a service port that speaks `protocol`.
    pub fn new(frontend: &model::Frontend, protocol: Protocol) -> Self {
        Self { address: frontend.address, port: frontend.port, protocol }
    }
}

/// Where a frontend leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendEntry {
    /// The service cell.
    pub service: ServiceId,
    /// For reports. Always [`FrontendKind::NodePort`] under a key without an address.
    pub kind: FrontendKind,
}

/// A service cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Whose cell it is. `None` between the write of the slab and that of the name, in either direction.
    pub key: Option<ServicePortKey>,
    /// The slots in use.
    pub slab: Slab,
    /// Slots that belong to the cell from the slab's base on, used or not.
    pub capacity: u32,
}

impl ServiceEntry {
    /// Whether nothing tells the cell from one that was never used.
    pub(super) fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What tells a backend from all others of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// Address.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl BackendKey {
    /// The key of `backend` of a service port that speaks `protocol`.
    pub fn new(backend: &model::Backend, protocol: Protocol) -> Self {
        Self { address: backend.address, port: backend.port, protocol }
    }
}

/// What may change about a backend while it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendFlags {
    /// The pod runs on this node.
    pub local: bool,
    /// The pod is terminating.
    pub terminating: bool,
    /// The name of the pod's node; 0 is none.
    pub node: NodeId,
}

/// A backend cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendEntry {
    /// Where to send.
    pub key: BackendKey,
    /// The rest.
    pub flags: BackendFlags,
}

/// The number that the maps hold for `kind`.
pub fn map_kind(kind: model::FrontendKind) -> FrontendKind {
    match kind {
        model::FrontendKind::ClusterIp => FrontendKind::ClusterIp,
        model::FrontendKind::NodePort => FrontendKind::NodePort,
        model::FrontendKind::ExternalIp => FrontendKind::ExternalIp,
        model::FrontendKind::LoadBalancer => FrontendKind::LoadBalancer,
    }
}
