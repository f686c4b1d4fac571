//! One write to one map.

use std::net::IpAddr;

use ipnet::IpNet;
use svclb_common::service::{BackendId, List, Policy, ServiceId, Slab, Slot};

use super::{BackendEntry, BackendFlags, FrontendEntry, FrontendKey, NodeId};
use crate::model::{Family, ServicePortKey};

/// One map write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapOp {
    /// To a map that exists once per family.
    Table {
        /// Whose map.
        family: Family,
        /// The write.
        op: TableOp,
    },
    /// Names a node.
    WriteNode {
        /// Its number.
        id: NodeId,
        /// `metadata.name`.
        name: String,
    },
    /// Takes the name of a node away.
    RemoveNode {
        /// Its number.
        id: NodeId,
    },
}

/// One write to a map that exists once per family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOp {
    /// Fills a backend cell that no slot names. Its generation stays.
    WriteBackend {
        /// The cell.
        id: BackendId,
        /// Its content.
        backend: BackendEntry,
    },
    /// Changes what may change about a backend in use; its generation stays.
    SetBackendFlags {
        /// The cell.
        id: BackendId,
        /// Its new flags and node.
        flags: BackendFlags,
    },
    /// Gives a backend cell up. Its generation grows, so that flows to it are invalid.
    FreeBackend {
        /// The cell.
        id: BackendId,
    },
    /// Writes a slot.
    WriteSlot {
        /// Which one.
        index: u32,
        /// What it is to hold.
        slot: Slot,
    },
    /// Switches a list of a service to other slots.
    SetSlab {
        /// The service's cell.
        service: ServiceId,
        /// Which list.
        list: List,
        /// The slots in use.
        slab: Slab,
        /// Slots that belong to the list.
        capacity: u32,
    },
    /// Changes how a service treats its clients.
    SetPolicy {
        /// The service's cell.
        service: ServiceId,
        /// The new policy.
        policy: Policy,
    },
    /// Writes whose cell it is.
    WriteName {
        /// The service's cell.
        service: ServiceId,
        /// Its service port.
        key: ServicePortKey,
    },
    /// Takes the name of a service cell away.
    RemoveName {
        /// The service's cell.
        service: ServiceId,
    },
    /// Opens a service's load balancer addresses to a range of clients.
    AddRange {
        /// The service's cell.
        service: ServiceId,
        /// The clients; no bits are set after the prefix.
        range: IpNet,
    },
    /// Takes such a range away.
    RemoveRange {
        /// The service's cell.
        service: ServiceId,
        /// The clients.
        range: IpNet,
    },
    /// Adds a frontend, or switches an existing one.
    AddFrontend {
        /// What clients hit; has an address unless it is a node port.
        key: FrontendKey,
        /// Where it leads.
        frontend: FrontendEntry,
    },
    /// Removes a frontend.
    RemoveFrontend {
        /// What clients hit.
        key: FrontendKey,
    },
    /// Adds an address to the set of `ClusterIP`s.
    AddClusterIp {
        /// The address.
        address: IpAddr,
    },
    /// Removes an address from that set.
    RemoveClusterIp {
        /// The address.
        address: IpAddr,
    },
    /// Adds an address to the set of other addresses of Services: external ones, and load balancers'.
    AddExternalIp {
        /// The address.
        address: IpAddr,
    },
    /// Removes an address from that set.
    RemoveExternalIp {
        /// The address.
        address: IpAddr,
    },
}
