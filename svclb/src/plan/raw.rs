//! Tables as they were found, and their repair.
//!
//! An agent that dies between two writes leaves tables that are consistent but for cells without a name. The
//! other faults come from someone else's hand. Whatever is wrong is taken away, and the next plan puts back
//! what is wanted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use svclb_common::service::{BackendId, List, Policy, ServiceId, Slab, Slot};

use super::{
    Applied, BackendEntry, BackendFlags, CellEntry, FrontendEntry, FrontendKey, Limits, ListEntry, MapOp,
    NodeId, TableOp, Tables,
};
use crate::model::{Family, Protocol, ServicePortKey};

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
    /// Service cells.
    pub services: BTreeMap<ServiceId, CellEntry>,
    /// Names of service cells.
    pub names: BTreeMap<ServiceId, ServicePortKey>,
    /// All slots from the first one on.
    pub slots: Vec<Slot>,
    /// Backend cells. Whose they are is not written in them: each key's owner is 0.
    pub backends: BTreeMap<BackendId, BackendEntry>,
    /// Source ranges of services; no bits are set after the prefix.
    pub source_ranges: BTreeMap<ServiceId, BTreeSet<IpNet>>,
    /// The set of `ClusterIP`s.
    pub cluster_ips: BTreeSet<IpAddr>,
    /// The set of other addresses of Services.
    pub external_ips: BTreeSet<IpAddr>,
}

/// What was wrong in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// A frontend leads to a service cell without a name, or to one of another protocol.
    #[error("a frontend leads to no service of its protocol")]
    DanglingFrontend,
    /// A service cell has slots or a policy and no name.
    #[error("service cell {0} has no name")]
    NamelessService(ServiceId),
    /// Two service cells have one name, or the name is one of the other family.
    #[error("service cell {0} has a name that is not its own")]
    ForeignName(ServiceId),
    /// A slab reaches out of the table, or into another one.
    #[error("service cell {0} has slots that are not its own")]
    ForeignSlots(ServiceId),
    /// A slot in use names no backend of the service's protocol, or a UDP backend of another service.
    #[error("service cell {0} leads to no backend")]
    DanglingSlot(ServiceId),
    /// Two backend cells hold one backend.
    #[error("backend cell {0} holds the backend of another cell")]
    SecondBackend(BackendId),
    /// A service cell has source ranges and no name.
    #[error("service cell {0} has source ranges and no name")]
    DanglingRange(ServiceId),
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
        let owners = udp_owners(&raw);
        for (id, backend) in raw.backends {
            let owner = owners.get(&id).copied().unwrap_or(0);
            self.backend(id, BackendEntry { key: backend.key.owned_by(owner), ..backend });
        }
        self.applied.tables_mut(self.family).set_slots(raw.slots);
        for (&id, cell) in &raw.services {
            self.service(id, raw.names.get(&id), cell);
        }
        for (&id, name) in raw.names.iter().filter(|(id, _)| !raw.services.contains_key(id)) {
            self.service(id, Some(name), &CellEntry::default());
        }
        for (&service, &range) in
            raw.source_ranges.iter().flat_map(|(id, all)| all.iter().map(move |r| (id, r)))
        {
            self.range(service, range);
        }
        for (key, frontend) in raw.frontends {
            self.frontend(key, frontend);
        }
        for address in raw.cluster_ips {
            self.keep(TableOp::AddClusterIp { address });
        }
        for address in raw.external_ips {
            self.keep(TableOp::AddExternalIp { address });
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

    fn service(&mut self, id: ServiceId, name: Option<&ServicePortKey>, cell: &CellEntry) {
        let Some(key) = name else {
            return self.empty(Fault::NamelessService(id), id, cell);
        };
        if key.family != self.family || self.applied.service_id(key).is_some() {
            self.repair(Fault::ForeignName(id), TableOp::RemoveName { service: id });
            return self.empty(Fault::ForeignName(id), id, cell);
        }
        self.keep(TableOp::WriteName { service: id, key: key.clone() });
        if cell.policy != Policy::default() {
            self.keep(TableOp::SetPolicy { service: id, policy: cell.policy });
        }
        for list in List::EACH {
            self.list(id, key.protocol, list, cell.list(list));
        }
    }

    fn list(&mut self, service: ServiceId, protocol: Protocol, list: List, entry: ListEntry) {
        let ListEntry { slab, capacity } = entry;
        if entry == ListEntry::default() {
            return;
        }
        let end = slab.base.checked_add(capacity);
        let fits = slab.len <= capacity && end.is_some_and(|end| end <= self.limits.slots);
        if !fits || !self.tables().free_slots.has(slab.base, capacity) {
            return self.repair(Fault::ForeignSlots(service), no_slots(service, list));
        }
        let leads = |slot: &Slot| {
            let entry = self.tables().backend(slot.backend);
            entry.is_some_and(|entry| {
                entry.key.protocol == protocol && entry.key == entry.key.owned_by(service)
            })
        };
        let slots = self.tables().slots(slab);
        if slots.len() != slab.len as usize || !slots.iter().all(leads) {
            return self.repair(Fault::DanglingSlot(service), no_slots(service, list));
        }
        self.keep(TableOp::SetSlab { service, list, slab, capacity });
    }

    fn range(&mut self, service: ServiceId, range: IpNet) {
        if self.is_named(service, |_| true) {
            self.keep(TableOp::AddRange { service, range });
        } else {
            self.repair(Fault::DanglingRange(service), TableOp::RemoveRange { service, range });
        }
    }

    fn frontend(&mut self, key: FrontendKey, frontend: FrontendEntry) {
        if self.is_named(frontend.service, |name| name.protocol == key.protocol) {
            self.keep(TableOp::AddFrontend { key, frontend });
        } else {
            self.repair(Fault::DanglingFrontend, TableOp::RemoveFrontend { key });
        }
    }

    fn is_named(&self, service: ServiceId, is_right: impl FnOnce(&ServicePortKey) -> bool) -> bool {
        let name = self.tables().service(service).and_then(|entry| entry.key.as_ref());
        name.is_some_and(is_right)
    }

    /// Takes away all that a cell holds.
    fn empty(&mut self, fault: Fault, service: ServiceId, cell: &CellEntry) {
        if cell.policy != Policy::default() {
            self.repair(fault, TableOp::SetPolicy { service, policy: Policy::default() });
        }
        for list in List::EACH.into_iter().filter(|&list| cell.list(list) != ListEntry::default()) {
            self.repair(fault, no_slots(service, list));
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

fn no_slots(service: ServiceId, list: List) -> TableOp {
    TableOp::SetSlab { service, list, slab: Slab::default(), capacity: 0 }
}

/// Whose each UDP backend is: the service's whose slots name its cell.
fn udp_owners(raw: &RawTables) -> BTreeMap<BackendId, ServiceId> {
    let mut owners = BTreeMap::new();
    let is_udp = |id: &ServiceId| raw.names.get(id).is_some_and(|name| name.protocol == Protocol::Udp);
    for (&service, cell) in raw.services.iter().filter(|(id, _)| is_udp(id)) {
        for ListEntry { slab, .. } in cell.lists {
            let end = slab.base.saturating_add(slab.len) as usize;
            for slot in raw.slots.get(slab.base as usize..end).unwrap_or_default() {
                owners.entry(slot.backend).or_insert(service);
            }
        }
    }
    owners
}
