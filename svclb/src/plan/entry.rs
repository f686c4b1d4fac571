//! Keys and values of the tables, as the agent thinks of them.

use std::net::IpAddr;

use svclb_common::service::{FrontendKind, LISTS, List, Policy, ServiceId, Slab};

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

/// Where a list of a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListEntry {
    /// The slots in use.
    pub slab: Slab,
    /// Slots that belong to the list from the slab's base on, used or not.
    pub capacity: u32,
}

/// What a service cell holds. One that was never used, and one that was given up, is all zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellEntry {
    /// By [`List`].
    pub lists: [ListEntry; LISTS],
    /// How clients are treated.
    pub policy: Policy,
}

impl CellEntry {
    /// Where `list` is.
    pub fn list(&self, list: List) -> ListEntry {
        self.lists[list as usize]
    }
}

/// A service cell and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Whose cell it is. `None` between the write of a slab and that of the name, in either direction.
    pub key: Option<ServicePortKey>,
    /// What it holds.
    pub cell: CellEntry,
}

impl ServiceEntry {
    /// Whether nothing tells the cell from one that was never used.
    pub(super) fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What tells a backend from all others of its family.
///
/// A pod's TCP port has one cell, however many Services send to it: an established connection lives on
/// whatever becomes of its Service. A UDP flow must leave a backend as soon as *its own* service port has it no
/// more, even if another Service still has the same pod, and what makes it leave is the generation of the
/// backend's cell. So each service port has UDP cells of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// Address.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The service cell whose backend it is, if the protocol is UDP; 0 is none. A UDP cell has none if it was
    /// found where no slot names it: see [`stray`](Self::stray).
    pub owner: ServiceId,
}

impl BackendKey {
    /// The key of `backend` of a service port that speaks `protocol` and has the cell `service`.
    pub fn new(backend: &model::Backend, protocol: Protocol, service: ServiceId) -> Self {
        Self { address: backend.address, port: backend.port, protocol, owner: 0 }.owned_by(service)
    }

    /// The same backend as one of `service`, as far as backends of its protocol belong to services.
    #[must_use]
    pub(super) fn owned_by(self, service: ServiceId) -> Self {
        Self { owner: if self.protocol == Protocol::Udp { service } else { 0 }, ..self }
    }

    /// The key under which a cell is known that no slot names: an agent died while the backend went from one list
    /// to another, or away, and nothing tells whose it was. A service that wants such a backend takes the cell
    /// over as it is, for the sake of the flows that it most likely has there itself.
    #[must_use]
    pub(super) fn stray(self) -> Self {
        Self { owner: 0, ..self }
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
