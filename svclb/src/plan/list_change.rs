//! What is to change about the slots of one list.

use std::collections::BTreeMap;

use svclb_common::service::{BackendId, List, ServiceId, Slab, Slot};

use super::{BackendKey, ListEntry, Tables, layout::layout};
use crate::model::{Algorithm, Backend, Protocol};

/// The difference between a list and the backends that it is to have.
#[derive(Debug)]
pub(super) struct ListChange<'a> {
    /// Which list.
    pub(super) list: List,
    /// The slots in use.
    pub(super) slab: Slab,
    /// Slots that belong to the list.
    pub(super) capacity: u32,
    /// What is in the slots.
    pub(super) slots: &'a [Slot],
    /// Positions in `slots` whose backend goes, ascending.
    holes: Vec<usize>,
    /// Positions in `slots` whose backend stays and weighs another thing, ascending, with what it weighs.
    weighed: Vec<(usize, u8)>,
    /// Backends that stay.
    pub(super) staying: Vec<(BackendId, &'a Backend)>,
    /// Backends that come.
    pub(super) coming: Vec<&'a Backend>,
    /// What each slot is to hold, if that is different and the backends do not lie there one each in any order.
    order: Option<Vec<Wanted>>,
}

/// What a slot of an ordered list is to hold.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// A backend that stays.
    Staying(Slot),
    /// The one of that place among those that come, with its weight.
    Coming(usize, u8),
}

/// How the backends of a list are to be laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// By the needs of which algorithm.
    pub(super) algorithm: Algorithm,
    /// Slots of a Maglev table.
    pub(super) maglev_table: u32,
}

impl<'a> ListChange<'a> {
    /// From what `entry` holds to `wanted`, which is sorted by address and port. Backends of UDP are those of
    /// the cell `service`. Nobody selects from the idle list, so its backends lie in no order.
    pub(super) fn new(
        tables: &'a Tables,
        list: List,
        entry: ListEntry,
        wanted: &[&'a Backend],
        (protocol, service): (Protocol, ServiceId),
        shape: Shape,
    ) -> Self {
        let ListEntry { slab, capacity } = entry;
        let mut change = Self {
            list,
            slab,
            capacity,
            slots: tables.slots(slab),
            holes: Vec::new(),
            weighed: Vec::new(),
            staying: Vec::new(),
            coming: Vec::new(),
            order: None,
        };
        let is_held = |id: BackendId, backend: &'a Backend| {
            let key = BackendKey::new(backend, protocol, service);
            tables.backend(id).is_some_and(|entry| entry.key == key)
        };
        let is_same = |slot: &Slot, backend: &'a Backend| {
            slot.weight == backend.weight && is_held(slot.backend, backend)
        };
        let order =
            if list == List::Idle { None } else { layout(shape.algorithm, wanted, shape.maglev_table) };
        if let Some(order) = order {
            change.order(tables, wanted, &order, is_held);
            return change;
        }
        // The common case: a list that lost no backend since it was first written has them in order.
        let mut pairs = change.slots.iter().zip(wanted);
        if change.slots.len() == wanted.len() && pairs.all(|(slot, backend)| is_same(slot, backend)) {
            change.staying.extend(change.slots.iter().map(|slot| slot.backend).zip(wanted.iter().copied()));
        } else {
            change.compare(tables, wanted, is_held, false);
        }
        change
    }

    /// Whether no slot changes.
    pub(super) fn keeps_slots(&self) -> bool {
        self.holes.is_empty() && self.weighed.is_empty() && self.coming.is_empty() && self.order.is_none()
    }

    /// How many slots there will be.
    pub(super) fn len(&self) -> usize {
        match &self.order {
            Some(order) => order.len(),
            None => self.slots.len() - self.holes.len() + self.coming.len(),
        }
    }

    /// Leaves out what comes: what goes is all that changes, and the rest stays in the order that it has.
    pub(super) fn give_way(&mut self) {
        self.coming.clear();
        self.order = None;
    }

    /// By how much the number of slots changes that name each cell, where `ids` are those of the coming backends.
    pub(super) fn uses(&self, ids: &[BackendId]) -> BTreeMap<BackendId, i64> {
        let mut uses = BTreeMap::new();
        let mut count = |id, by| *uses.entry(id).or_default() += by;
        if let Some(order) = &self.order {
            for slot in self.slots {
                count(slot.backend, -1);
            }
            for slot in order.iter().filter_map(|wanted| wanted.slot(ids)) {
                count(slot.backend, 1);
            }
        } else {
            for &at in &self.holes {
                count(self.slots[at].backend, -1);
            }
            for &id in ids {
                count(id, 1);
            }
        }
        uses
    }

    /// Positions and slots to write so that the first [`len`](Self::len) slots are the wanted ones, where
    /// `ids` are those of the coming backends. The last slots move into holes that no backend comes for.
    pub(super) fn rearrange(&self, ids: &[BackendId]) -> Vec<(usize, Slot)> {
        if let Some(order) = &self.order {
            let slots = order.iter().filter_map(|wanted| wanted.slot(ids)).enumerate();
            return slots.filter(|(at, slot)| self.slots.get(*at) != Some(slot)).collect();
        }
        let len = self.len();
        let kept = len.min(self.slots.len());
        let is_hole = |at: &usize| self.holes.binary_search(at).is_ok();
        let movers = (kept..self.slots.len()).filter(|at| !is_hole(at));
        let places = self.holes.iter().copied().take_while(|&at| at < kept).chain(self.slots.len()..len);
        let weighed = self.weighed.iter().map(|(at, _)| *at).filter(|at| *at < kept);
        let weighed = weighed.map(|at| (at, self.kept(at)));
        places.zip(self.new_slots(ids).chain(movers.map(|at| self.kept(at)))).chain(weighed).collect()
    }

    /// The wanted backends for a new slab, where `ids` are those of the coming ones.
    pub(super) fn rebuild(&self, ids: &[BackendId]) -> Vec<Slot> {
        if let Some(order) = &self.order {
            return order.iter().filter_map(|wanted| wanted.slot(ids)).collect();
        }
        let stays = |at: &usize| self.holes.binary_search(at).is_err();
        let staying = (0..self.slots.len()).filter(stays).map(|at| self.kept(at));
        staying.chain(self.new_slots(ids)).collect()
    }

    fn new_slots(&self, ids: &[BackendId]) -> impl Iterator<Item = Slot> {
        ids.iter().zip(&self.coming).map(|(&backend, coming)| Slot { backend, weight: coming.weight })
    }

    /// What is in a slot whose backend stays, with its weight as it is to be.
    fn kept(&self, at: usize) -> Slot {
        let weighed = self.weighed.binary_search_by_key(&at, |(at, _)| *at);
        let weight = weighed.map_or(self.slots[at].weight, |found| self.weighed[found].1);
        Slot { weight, ..self.slots[at] }
    }

    /// Compares the slots with `order`, the places in `wanted` slot by slot.
    fn order(
        &mut self,
        tables: &Tables,
        wanted: &[&'a Backend],
        order: &[u32],
        is_held: impl Fn(BackendId, &'a Backend) -> bool,
    ) {
        let found = self.compare(tables, wanted, is_held, true);
        let mut coming = 0..;
        let sources: Vec<_> = found
            .iter()
            .zip(wanted)
            .map(|(found, backend)| match *found {
                Some(id) => Wanted::Staying(Slot { backend: id, weight: backend.weight }),
                None => Wanted::Coming(coming.next().unwrap_or(0), backend.weight),
            })
            .collect();
        let wanted = order.iter().map(|&at| sources[at as usize]);
        let is_there = |(slot, wanted): (&Slot, Wanted)| wanted.slot(&[]) == Some(*slot);
        if self.slots.len() != order.len() || !self.slots.iter().zip(wanted.clone()).all(is_there) {
            self.order = Some(wanted.collect());
        }
        // The order says more than these.
        self.weighed.clear();
    }

    /// Finds out who goes, stays and comes; a backend may have one slot, or `many`. Returns the cells of the wanted
    /// ones that stay.
    fn compare(
        &mut self,
        tables: &Tables,
        wanted: &[&'a Backend],
        is_held: impl Fn(BackendId, &'a Backend) -> bool,
        many: bool,
    ) -> Vec<Option<BackendId>> {
        let mut stays = vec![None; wanted.len()];
        let key_of = |backend: &&Backend| (backend.address, backend.port);
        let mut next = 0;
        let mut find = |id| {
            let key = tables.backend(id).map(|entry| (entry.key.address, entry.key.port))?;
            // Most slots are in the order of the backends.
            let index = match wanted.get(next) {
                Some(backend) if key_of(backend) == key => next,
                _ => wanted.binary_search_by_key(&key, key_of).ok()?,
            };
            next = index + 1;
            is_held(id, wanted[index]).then_some(index)
        };
        // Where backends have many slots, tables have thousands of them and few backends.
        let mut known = BTreeMap::new();
        for (at, slot) in self.slots.iter().enumerate() {
            let id = slot.backend;
            let found = if many { *known.entry(id).or_insert_with(|| find(id)) } else { find(id) };
            match found {
                Some(index) if stays[index].is_none() => {
                    stays[index] = Some(id);
                    self.staying.push((id, wanted[index]));
                    if slot.weight != wanted[index].weight {
                        self.weighed.push((at, wanted[index].weight));
                    }
                }
                Some(index) if many && stays[index] == Some(id) => {}
                _ => self.holes.push(at),
            }
        }
        self.coming =
            wanted.iter().zip(&stays).filter(|(_, stays)| stays.is_none()).map(|(b, _)| *b).collect();
        stays
    }
}

impl Wanted {
    /// The slot, where `ids` are those of the coming backends.
    fn slot(self, ids: &[BackendId]) -> Option<Slot> {
        match self {
            Self::Staying(slot) => Some(slot),
            Self::Coming(at, weight) => Some(Slot { backend: *ids.get(at)?, weight }),
        }
    }
}
