//! The kernel's side: maps that are written one by one, and a program that reads them.

use std::collections::{BTreeMap, BTreeSet};

use svclb_common::service::{BackendId, FrontendKind, LISTS, List, Policy, ServiceId, Slab, Slot};

use crate::{
    model::{Family, ServicePortKey},
    plan::{BackendEntry, BackendKey, CellEntry, FrontendKey, ListEntry, MapOp, Raw, RawTables, TableOp},
};

/// Maps, and what was in backend cells that are free by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    pub(super) raw: Raw,
    ghosts: BTreeMap<(Family, BackendId), BackendKey>,
    generations: BTreeMap<(Family, BackendId), u32>,
}

/// What a program finds under a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) name: &'a ServicePortKey,
    pub(super) kind: FrontendKind,
    pub(super) policy: Policy,
    /// By [`List`].
    pub(super) lists: [BTreeSet<BackendKey>; LISTS],
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
                // The cell does not say whose it is.
                let key = BackendKey { owner: 0, ..backend.key };
                let old = tables.backends.insert(id, BackendEntry { key, ..backend });
                assert!(old.is_none_or(|old| old.key == key), "cell {id} is another backend's");
                self.ghosts.insert((family, id), key);
            }
            TableOp::SetBackendFlags { id, flags } => {
                assert!(flags.node == 0 || nodes.contains_key(&flags.node));
                tables.backends.get_mut(&id).unwrap().flags = flags;
            }
            TableOp::FreeBackend { id } => {
                assert!(!live(tables).contains(&id), "cell {id} is in use");
                assert!(tables.backends.remove(&id).is_some());
                *self.generations.entry((family, id)).or_default() += 1;
            }
            TableOp::WriteSlot { index, slot } => {
                let at = index as usize;
                tables.slots.resize(tables.slots.len().max(at + 1), Slot::default());
                tables.slots[at] = slot;
            }
            TableOp::SetSlab { service, list, slab, capacity } => {
                assert!(service > 0 && slab.len <= capacity);
                change(tables, service, |cell| cell.lists[list as usize] = ListEntry { slab, capacity });
                assert!(disjoint(tables), "slabs overlap");
            }
            TableOp::SetPolicy { service, policy } => change(tables, service, |cell| cell.policy = policy),
            TableOp::WriteName { service, ref key } => {
                assert_eq!(tables.names.insert(service, key.clone()), None);
            }
            TableOp::RemoveName { service } => assert!(tables.names.remove(&service).is_some()),
            TableOp::AddFrontend { key, frontend } => {
                assert_ne!(tables.frontends.insert(key, frontend), Some(frontend), "a write for nothing");
            }
            TableOp::RemoveFrontend { ref key } => assert!(tables.frontends.remove(key).is_some()),
            TableOp::AddRange { service, range } => {
                assert!(tables.names.contains_key(&service) && range == range.trunc());
                assert!(tables.source_ranges.entry(service).or_default().insert(range));
            }
            TableOp::RemoveRange { service, range } => {
                assert!(tables.source_ranges.get_mut(&service).unwrap().remove(&range));
                tables.source_ranges.retain(|_, ranges| !ranges.is_empty());
            }
            TableOp::AddClusterIp { address } => assert!(tables.cluster_ips.insert(address)),
            TableOp::RemoveClusterIp { address } => assert!(tables.cluster_ips.remove(&address)),
            TableOp::AddExternalIp { address } => assert!(tables.external_ips.insert(address)),
            TableOp::RemoveExternalIp { address } => assert!(tables.external_ips.remove(&address)),
        }
    }

    /// What a program finds under the frontend `key`.
    pub(super) fn resolve(&self, family: Family, key: &FrontendKey) -> Option<Found<'_>> {
        let tables = self.tables(family);
        let frontend = tables.frontends.get(key)?;
        let service = frontend.service;
        let name = tables.names.get(&service).expect("a frontend leads to a nameless cell");
        Some(Found {
            name,
            kind: frontend.kind,
            policy: self.cell(family, service).policy,
            lists: List::EACH.map(|list| self.selected(family, service, list)),
        })
    }

    /// A service cell.
    pub(super) fn cell(&self, family: Family, service: ServiceId) -> CellEntry {
        self.tables(family).services.get(&service).copied().unwrap_or_default()
    }

    /// The backends of a list.
    pub(super) fn selected(&self, family: Family, service: ServiceId, list: List) -> BTreeSet<BackendKey> {
        let tables = self.tables(family);
        let ids = self.slots(family, self.cell(family, service).list(list).slab);
        ids.map(|id| tables.backends.get(&id).expect("a slot leads to a free cell").key).collect()
    }

    /// The slots of each backend of a list, and its weight.
    pub(super) fn shares(
        &self,
        family: Family,
        service: ServiceId,
        list: List,
    ) -> BTreeMap<BackendKey, (usize, u8)> {
        let mut shares = BTreeMap::new();
        for slot in self.weighed(family, self.cell(family, service).list(list).slab) {
            let key = self.tables(family).backends[&slot.backend].key;
            let share = shares.entry(key).or_insert((0, slot.weight));
            assert_eq!(share.1, slot.weight);
            share.0 += 1;
        }
        shares
    }

    /// The cells of all lists, with their generations, by backend.
    pub(super) fn cells(&self, family: Family, service: ServiceId) -> BTreeMap<BackendKey, (BackendId, u32)> {
        let lists = self.cell(family, service).lists;
        let ids = lists.iter().flat_map(|list| self.slots(family, list.slab));
        ids.map(|id| (self.ghost(family, id), (id, self.generation(family, id)))).collect()
    }

    /// The generation of a backend cell.
    pub(super) fn generation(&self, family: Family, id: BackendId) -> u32 {
        self.generations.get(&(family, id)).copied().unwrap_or(0)
    }

    /// The slots of a slab, whoever it belongs to by now.
    pub(super) fn slots(&self, family: Family, slab: Slab) -> impl Iterator<Item = BackendId> {
        let base = slab.base as usize;
        self.tables(family).slots[base..base + slab.len as usize].iter().map(|slot| slot.backend)
    }

    /// The same, with weights.
    pub(super) fn weighed(&self, family: Family, slab: Slab) -> &[Slot] {
        let base = slab.base as usize;
        &self.tables(family).slots[base..base + slab.len as usize]
    }

    /// What is in a backend cell, or was before it became free.
    pub(super) fn ghost(&self, family: Family, id: BackendId) -> BackendKey {
        self.ghosts[&(family, id)]
    }
}

fn change(tables: &mut RawTables, service: ServiceId, change: impl FnOnce(&mut CellEntry)) {
    change(tables.services.entry(service).or_default());
    tables.services.retain(|_, cell| *cell != CellEntry::default());
}

/// The backend cells that a reader can come across.
fn live(tables: &RawTables) -> BTreeSet<BackendId> {
    let lists = tables.services.values().flat_map(|cell| &cell.lists);
    let slabs = lists.map(|list| list.slab.base as usize..(list.slab.base + list.slab.len) as usize);
    slabs.flat_map(|range| tables.slots[range].iter().map(|slot| slot.backend)).collect()
}

fn disjoint(tables: &RawTables) -> bool {
    let lists = tables.services.values().flat_map(|cell| &cell.lists);
    let mut slabs: Vec<_> = lists.map(|list| (list.slab.base, list.capacity)).collect();
    slabs.sort_unstable();
    slabs.is_sorted_by(|a, b| a.0 + a.1 <= b.0)
}
