//! What is to change about the slots of one list.

use svclb_common::service::{BackendId, List, ServiceId, Slab};

use super::{BackendKey, ListEntry, Tables};
use crate::model::{Backend, Protocol};

/// The difference between a list and the backends that it is to have.
#[derive(Debug)]
pub(super) struct ListChange<'a> {
    /// Which list.
    pub(super) list: List,
    /// The slots in use.
    pub(super) slab: Slab,
    /// Slots that belong to the list.
    pub(super) capacity: u32,
    /// The backends in the slots.
    pub(super) slots: &'a [BackendId],
    /// Positions in `slots` whose backend goes, ascending.
    pub(super) holes: Vec<usize>,
    /// Backends that stay.
    pub(super) staying: Vec<(BackendId, &'a Backend)>,
    /// Backends that come.
    pub(super) coming: Vec<&'a Backend>,
}

impl<'a> ListChange<'a> {
    /// From what `entry` holds to `wanted`, which is sorted by address and port. Backends of UDP are those of
    /// the cell `service`.
    pub(super) fn new(
        tables: &'a Tables,
        list: List,
        entry: ListEntry,
        wanted: &[&'a Backend],
        (protocol, service): (Protocol, ServiceId),
    ) -> Self {
        let ListEntry { slab, capacity } = entry;
        let mut change = Self {
            list,
            slab,
            capacity,
            slots: tables.slots(slab),
            holes: Vec::new(),
            staying: Vec::new(),
            coming: Vec::new(),
        };
        let is_held = |id: BackendId, backend: &'a Backend| {
            let key = BackendKey::new(backend, protocol, service);
            tables.backend(id).is_some_and(|entry| entry.key == key)
        };
        // The common case: a list that lost no backend since it was first written has them in order.
        let mut pairs = change.slots.iter().zip(wanted);
        if change.slots.len() == wanted.len() && pairs.all(|(&id, backend)| is_held(id, backend)) {
            change.staying.extend(change.slots.iter().copied().zip(wanted.iter().copied()));
        } else {
            change.compare(tables, wanted, is_held);
        }
        change
    }

    /// Whether no slot changes.
    pub(super) fn keeps_slots(&self) -> bool {
        self.holes.is_empty() && self.coming.is_empty()
    }

    /// How many slots there will be.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.holes.len() + self.coming.len()
    }

    /// The cells that lose a slot.
    pub(super) fn leaving(&self) -> impl Iterator<Item = BackendId> {
        self.holes.iter().map(|&at| self.slots[at])
    }

    /// Positions and backends to write so that the first [`len`](Self::len) slots are the wanted ones, where
    /// `ids` are those of the coming backends. The last slots move into holes that no backend comes for.
    pub(super) fn rearrange(&self, ids: &[BackendId]) -> Vec<(usize, BackendId)> {
        let len = self.len();
        let kept = len.min(self.slots.len());
        let movers = (kept..self.slots.len()).filter(|at| self.holes.binary_search(at).is_err());
        let places = self.holes.iter().copied().take_while(|&at| at < kept).chain(self.slots.len()..len);
        places.zip(ids.iter().copied().chain(movers.map(|at| self.slots[at]))).collect()
    }

    /// The wanted backends for a new slab, where `ids` are those of the coming ones.
    pub(super) fn rebuild(&self, ids: &[BackendId]) -> Vec<BackendId> {
        let stays = |at: &usize| self.holes.binary_search(at).is_err();
        (0..self.slots.len()).filter(stays).map(|at| self.slots[at]).chain(ids.iter().copied()).collect()
    }

    fn compare(
        &mut self,
        tables: &Tables,
        wanted: &[&'a Backend],
        is_held: impl Fn(BackendId, &'a Backend) -> bool,
    ) {
        let mut stays = vec![false; wanted.len()];
        for (at, &id) in self.slots.iter().enumerate() {
            let found = tables.backend(id).and_then(|entry| {
                let key = (entry.key.address, entry.key.port);
                wanted.binary_search_by_key(&key, |backend| (backend.address, backend.port)).ok()
            });
            match found.filter(|&index| is_held(id, wanted[index])) {
                Some(index) if !stays[index] => {
                    stays[index] = true;
                    self.staying.push((id, wanted[index]));
                }
                _ => self.holes.push(at),
            }
        }
        self.coming = wanted.iter().zip(stays).filter(|(_, stays)| !stays).map(|(b, _)| *b).collect();
    }
}
