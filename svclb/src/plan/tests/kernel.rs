//! The kernel's side: maps that are written one by one, and a program that reads them.

use std::collections::{BTreeMap, BTreeSet};

use svclb_common::service::{BackendId, ServiceId, Slab};

use crate::{
    model::{Family, ServicePortKey},
    plan::{BackendKey, FrontendKey, MapOp, Raw, RawTables, TableOp},
};

/// Maps, and what was in backend cells that are free by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    pub(super) raw: Raw,
    ghosts: BTreeMap<(Family, BackendId), BackendKey>,
}

impl Kernel {
    pub(super) fn tables(&self, family: Family) -> &RawTables {
        match family {
            Family::V4 => &self.raw.v4,
            Family::V6 => &self.raw.v6,
        }
    }

    /// Writes one after another.
    pub(super) fn write_all<'a>(&mut self, ops: impl IntoIterator<Item = &'a MapOp>) {
        for op in ops {
            self.write(op);
        }
    }

    /// Writes, and checks that the write is no surprise to a reader.
    pub(super) fn write(&mut self, op: &MapOp) {
        match op {
            MapOp::WriteNode { id, name } => {
                assert!(*id > 0);
                assert_eq!(self.raw.nodes.insert(*id, name.clone()), None);
            }
            MapOp::RemoveNode { id } => {
                assert!(self.raw.nodes.remove(id).is_some());
                let mut backends = self.raw.v4.backends.values().chain(self.raw.v6.backends.values());
                assert!(backends.all(|backend| backend.flags.node != *id), "a backend is on node {id}");
            }
            MapOp::Table { family, op } => self.write_table(*family, op),
        }
    }

    fn write_table(&mut self, family: Family, op: &TableOp) {
        let nodes = self.raw.nodes.clone();
        let tables = match family {
            Family::V4 => &mut self.raw.v4,
            Family::V6 => &mut self.raw.v6,
        };
        match *op {
            TableOp::WriteBackend { id, backend } => {
                assert!(id > 0 && !live(tables).contains(&id), "cell {id} is in use");
                assert!(backend.flags.node == 0 || nodes.contains_key(&backend.flags.node));
                assert_eq!(tables.backends.insert(id, backend), None);
                self.ghosts.insert((family, id), backend.key);
            }
            TableOp::SetBackendFlags { id, flags } => {
                assert!(flags.node == 0 || nodes.contains_key(&flags.node));
                tables.backends.get_mut(&id).unwrap().flags = flags;
            }
            TableOp::FreeBackend { id } => {
                assert!(!live(tables).contains(&id), "cell {id} is in use");
                assert!(tables.backends.remove(&id).is_some());
            }
            TableOp::WriteSlot { index, backend } => {
                let at = index as usize;
                tables.slots.resize(tables.slots.len().max(at + 1), 0);
                tables.slots[at] = backend;
            }
            TableOp::SetSlab { service, slab, capacity } => {
                assert!(service > 0 && slab.len <= capacity);
                tables.services.insert(service, (slab, capacity));
                tables.services.retain(|_, cell| *cell != (Slab::default(), 0));
                assert!(disjoint(tables), "slabs overlap");
            }
            TableOp::WriteName { service, ref key } => {
                assert_eq!(tables.names.insert(service, key.clone()), None);
            }
            TableOp::RemoveName { service } => assert!(tables.names.remove(&service).is_some()),
            TableOp::AddFrontend { key, frontend } => {
                assert_ne!(tables.frontends.insert(key, frontend), Some(frontend), "a write for nothing");
            }
            TableOp::RemoveFrontend { ref key } => assert!(tables.frontends.remove(key).is_some()),
        }
    }

    /// Whose frontend `key` is, and the backends it leads to.
    pub(super) fn resolve(
        &self,
        family: Family,
        key: &FrontendKey,
    ) -> Option<(&ServicePortKey, BTreeSet<BackendKey>)> {
        let tables = self.tables(family);
        let service = tables.frontends.get(key)?.service;
        let name = tables.names.get(&service).expect("a frontend leads to a nameless cell");
        Some((name, self.selected(family, service)))
    }

    /// The backends of a service cell.
    pub(super) fn selected(&self, family: Family, service: ServiceId) -> BTreeSet<BackendKey> {
        let tables = self.tables(family);
        let slab = tables.services.get(&service).map_or(Slab::default(), |(slab, _)| *slab);
        let ids = self.slots(family, slab);
        ids.iter().map(|id| tables.backends.get(id).expect("a slot leads to a free cell").key).collect()
    }

    /// The slots of a slab, whoever it belongs to by now.
    pub(super) fn slots(&self, family: Family, slab: Slab) -> &[BackendId] {
        let base = slab.base as usize;
        &self.tables(family).slots[base..base + slab.len as usize]
    }

    /// What is in a backend cell, or was before it became free.
    pub(super) fn ghost(&self, family: Family, id: BackendId) -> BackendKey {
        self.ghosts[&(family, id)]
    }
}

/// The backend cells that a reader can come across.
fn live(tables: &RawTables) -> BTreeSet<BackendId> {
    let slabs = tables.services.values().map(|(slab, _)| slab.base as usize..(slab.base + slab.len) as usize);
    slabs.flat_map(|range| tables.slots[range].iter().copied()).collect()
}

fn disjoint(tables: &RawTables) -> bool {
    let mut slabs: Vec<_> = tables.services.values().map(|(slab, capacity)| (slab.base, *capacity)).collect();
    slabs.sort_unstable();
    slabs.is_sorted_by(|a, b| a.0 + a.1 <= b.0)
}
