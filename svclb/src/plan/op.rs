//! One write to one map.

use svclb_common::service::{BackendId, ServiceId, Slab};

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
    /// Fills a backend cell that no slot names.
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
        /// The backend's cell.
        backend: BackendId,
    },
    /// Switches a service to other slots.
    SetSlab {
        /// The service's cell.
        service: ServiceId,
        /// The slots in use.
        slab: Slab,
        /// Slots that belong to the cell.
        capacity: u32,
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
}
