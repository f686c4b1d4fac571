//! Tables as they were found, and their repair.
//!
//! An agent that dies between two writes leaves tables that are consistent but for cells without a name. The
//! other faults come from someone else's hand. Whatever is wrong is taken away, and the next plan puts back
//! what is wanted.

use std::collections::BTreeMap;

use svclb_common::service::{BackendId, ServiceId, Slab};

use super::{
    Applied, BackendEntry, BackendFlags, FrontendEntry, FrontendKey, Limits, MapOp, NodeId, TableOp, Tables,
};
use crate::model::{Family, ServicePortKey};

/// What the maps held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Names of nodes.
    pub nodes: BTreeMap<NodeId, String>,
    /// IPv4.
    pub v4: RawTables,
    /// IPv6.
    pub v6: RawTables,
}

/// What the maps of one family held. Cells that are all zeros are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawTables {
    /// Frontends and node ports.
    pub frontends: BTreeMap<FrontendKey, FrontendEntry>,
    /// Slabs and capacities of service cells.
    pub services: BTreeMap<ServiceId, (Slab, u32)>,
    /// Names of service cells.
    pub names: BTreeMap<ServiceId, ServicePortKey>,
    /// All slots from the first one on.
    pub slots: Vec<BackendId>,
    /// Backend cells.
    pub backends: BTreeMap<BackendId, BackendEntry>,
}

/// What was wrong in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// A frontend leads to a service cell without a name, or to one of another protocol.
    #[error("a frontend leads to no service of its protocol")]
    DanglingFrontend,
    /// A service cell has slots and no name.
    #[error("service cell {0} has no name")]
    NamelessService(ServiceId),
    /// Two service cells have one name, or the name is one of the other family.
    #[error("service cell {0} has a name that is not its own")]
    ForeignName(ServiceId),
    /// A slab reaches out of the table, or into another one.
    #[error("service cell {0} has slots that are not its own")]
    ForeignSlots(ServiceId),
    /// A slot in use names no backend of the service's protocol.
    #[error("service cell {0} leads to no backend")]
    DanglingSlot(ServiceId),
    /// Two backend cells hold one backend.
    #[error("backend cell {0} holds the backend of another cell")]
    SecondBackend(BackendId),
    /// A backend cell names no node.
    #[error("backend cell {0} is on an unknown node")]
    UnknownNode(BackendId),
    /// Two numbers stand for one node.
    #[error("node {0} has the name of another node")]
    SecondNode(NodeId),
}

/// A fault and the write that takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What was wrong.
    pub fault: Fault,
    /// What to write.
    pub op: MapOp,
}

/// Tables that were found, made consistent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readback {
    /// The tables after the repairs.
    pub applied: Applied,
    /// What to write, in this order, before anything that is planned for `applied`.
    pub repairs: Vec<Repair>,
}

impl Readback {
    /// Takes away what is wrong in `raw`.
    pub fn new(raw: Raw, limits: &Limits) -> Self {
        let mut applied = Applied::default();
        let mut nodes = Vec::new();
        for (id, name) in raw.nodes {
            if applied.node_id(&name).is_some() {
                nodes.push(Repair { fault: Fault::SecondNode(id), op: MapOp::RemoveNode { id } });
            } else {
                applied.apply(&MapOp::WriteNode { id, name });
            }
        }
        let mut repairs = Vec::new();
        for (family, tables) in [(Family::V4, raw.v4), (Family::V6, raw.v6)] {
            let mut reader = Reader { family, applied: &mut applied, limits, repairs: Vec::new() };
            reader.read(tables);
            // What was found last leads to what was found first, and is to go before it.
            repairs.extend(reader.repairs.into_iter().rev());
        }
        repairs.extend(nodes);
        Self { applied, repairs }
    }
}

/// Reads one family: first what leads nowhere, then what leads to it.
struct Reader<'a> {
    family: Family,
    applied: &'a mut Applied,
    limits: &'a Limits,
    repairs: Vec<Repair>,
}

impl Reader<'_> {
    fn read(&mut self, raw: RawTables) {
        for (id, backend) in raw.backends {
            self.backend(id, backend);
        }
        self.applied.tables_mut(self.family).set_slots(raw.slots);
        for (&id, &(slab, capacity)) in &raw.services {
            self.service(id, raw.names.get(&id), slab, capacity);
        }
        for (&id, name) in raw.names.iter().filter(|(id, _)| !raw.services.contains_key(id)) {
            self.service(id, Some(name), Slab::default(), 0);
        }
        for (key, frontend) in raw.frontends {
            self.frontend(key, frontend);
        }
    }

    fn backend(&mut self, id: BackendId, mut backend: BackendEntry) {
        if self.tables().backend_id(&backend.key).is_some() {
            return self.repair(Fault::SecondBackend(id), TableOp::FreeBackend { id });
        }
        if backend.flags.node != 0 && self.applied.node(backend.flags.node).is_none() {
            backend.flags = BackendFlags { node: 0, ..backend.flags };
            let op = TableOp::SetBackendFlags { id, flags: backend.flags };
            self.repair(Fault::UnknownNode(id), op);
        }
        self.keep(TableOp::WriteBackend { id, backend });
    }

    fn service(&mut self, id: ServiceId, name: Option<&ServicePortKey>, slab: Slab, capacity: u32) {
        let empty = TableOp::SetSlab { service: id, slab: Slab::default(), capacity: 0 };
        let Some(key) = name else {
            return self.repair(Fault::NamelessService(id), empty);
        };
        if key.family != self.family || self.applied.service_id(key).is_some() {
            self.repair(Fault::ForeignName(id), TableOp::RemoveName { service: id });
            return self.repair(Fault::ForeignName(id), empty);
        }
        self.keep(TableOp::WriteName { service: id, key: key.clone() });
        let end = slab.base.checked_add(capacity);
        let fits = slab.len <= capacity && end.is_some_and(|end| end <= self.limits.slots);
        if !fits || !self.tables().free_slots.has(slab.base, capacity) {
            return self.repair(Fault::ForeignSlots(id), empty);
        }
        let leads = |&backend: &BackendId| {
            self.tables().backend(backend).is_some_and(|entry| entry.key.protocol == key.protocol)
        };
        let slots = self.tables().slots(slab);
        if slots.len() != slab.len as usize || !slots.iter().all(leads) {
            return self.repair(Fault::DanglingSlot(id), empty);
        }
        self.keep(TableOp::SetSlab { service: id, slab, capacity });
    }

    fn frontend(&mut self, key: FrontendKey, frontend: FrontendEntry) {
        let service = self.tables().service(frontend.service);
        if service.and_then(|entry| entry.key.as_ref()).is_some_and(|name| name.protocol == key.protocol) {
            self.keep(TableOp::AddFrontend { key, frontend });
        } else {
            self.repair(Fault::DanglingFrontend, TableOp::RemoveFrontend { key });
        }
    }

    fn tables(&self) -> &Tables {
        self.applied.tables(self.family)
    }

    fn keep(&mut self, op: TableOp) {
        self.applied.apply(&MapOp::Table { family: self.family, op });
    }

    fn repair(&mut self, fault: Fault, op: TableOp) {
        self.repairs.push(Repair { fault, op: MapOp::Table { family: self.family, op } });
    }
}
