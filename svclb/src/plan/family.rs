//! The plan of one address family.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use svclb_common::service::{BackendId, ServiceId, Slab};

use super::{
    FrontendEntry, FrontendKey, Limits, Refusal, TableOp, Tables,
    backends::Backends,
    change::Change,
    nodes::Nodes,
    numbers::Offers,
    ranges::Ranges,
    steps::{Step, Steps},
};
use crate::model::{ServicePort, ServicePortKey};

/// Smallest number of slots that a service with backends owns.
const MIN_CAPACITY: u32 = 4;

/// A service moves to a smaller slab when it uses no more than this part of a slab worth the writes.
const SPARSE: u32 = 8;

/// Plans one family, service by service.
#[derive(Debug)]
pub(super) struct FamilyPlan<'a> {
    tables: &'a Tables,
    limits: &'a Limits,
    service_ids: Offers<'a>,
    backends: Backends<'a>,
    free_slots: Cow<'a, Ranges>,
    /// How many more frontends with an address there may be.
    room: usize,
    added: BTreeMap<FrontendKey, FrontendEntry>,
    dropped: BTreeSet<FrontendKey>,
    steps: Steps,
}

impl<'a> FamilyPlan<'a> {
    pub(super) fn new(tables: &'a Tables, limits: &'a Limits) -> Self {
        Self {
            tables,
            limits,
            service_ids: tables.service_ids.offers(limits.services),
            backends: Backends::new(tables, limits),
            free_slots: Cow::Borrowed(&tables.free_slots),
            room: (limits.frontends as usize).saturating_sub(tables.addresses()),
            added: BTreeMap::new(),
            dropped: BTreeSet::new(),
            steps: Steps::default(),
        }
    }

    /// Makes the cell `id`, or a new one, be `port`. If that is refused, the cell loses what is not wanted
    /// any more and otherwise stays as it is.
    pub(super) fn service(
        &mut self,
        key: &'a ServicePortKey,
        port: &'a ServicePort,
        id: Option<ServiceId>,
        nodes: &mut Nodes<'a>,
    ) -> Result<(), Refusal> {
        let cell = id.and_then(|id| Some((id, self.tables.service(id)?)));
        let mut change = Change::new(self.tables, cell, port, key.protocol);
        let (moved, refused) = match self.reserve(&change, key) {
            Ok(moved) => (moved, Ok(())),
            Err(refusal) if change.service.is_none() => return Err(refusal),
            Err(refusal) => {
                change.give_way();
                (None, Err(refusal))
            }
        };
        self.commit(&change, moved, key, nodes);
        refused
    }

    /// Takes the cell `id` away.
    pub(super) fn remove(&mut self, id: ServiceId) {
        self.dropped.extend(self.tables.frontends_of(id).into_iter().flat_map(BTreeMap::keys));
        self.empty(id);
        self.steps.push(Step::RemoveServices, TableOp::RemoveName { service: id });
    }

    /// What follows from all services together.
    pub(super) fn finish(mut self) -> Steps {
        let nameless = self.tables.services().filter(|(_, entry)| entry.key.is_none());
        for (id, _) in nameless {
            self.dropped.extend(self.tables.frontends_of(id).into_iter().flat_map(BTreeMap::keys));
            self.empty(id);
        }
        for key in self.dropped {
            if !self.added.contains_key(&key) {
                self.steps.push(Step::RemoveFrontends, TableOp::RemoveFrontend { key });
            }
        }
        for (key, frontend) in self.added {
            self.steps.push(Step::Frontends, TableOp::AddFrontend { key, frontend });
        }
        self.backends.finish(&mut self.steps);
        self.steps
    }

    /// Checks that there is room for all of `change`, and takes the slots if it needs other ones.
    fn reserve(&mut self, change: &Change<'_>, key: &ServicePortKey) -> Result<Option<Slab>, Refusal> {
        if change.service.is_none() && self.service_ids.len() == 0 {
            return Err(Refusal::Services);
        }
        if !self.backends.have_room(&change.coming, key.protocol) {
            return Err(Refusal::Backends);
        }
        if self.needs_room(change) > self.room {
            return Err(Refusal::Frontends);
        }
        self.reserve_slots(change)
    }

    fn reserve_slots(&mut self, change: &Change<'_>) -> Result<Option<Slab>, Refusal> {
        let Some(len) = u32::try_from(change.len()).ok().filter(|&len| len <= self.limits.slots) else {
            return Err(Refusal::Slots);
        };
        let sparse = change.capacity >= MIN_CAPACITY * SPARSE * 2 && len <= change.capacity / SPARSE;
        if len <= change.capacity && !sparse {
            return Ok(None);
        }
        let base = self.free_slots.to_mut().allocate(capacity(len), self.limits.slots);
        match base {
            None if !sparse => Err(Refusal::Slots),
            base => Ok(base.map(|base| Slab { base, len })),
        }
    }

    /// How many of the gained frontends take a new place in the table.
    fn needs_room(&self, change: &Change<'_>) -> usize {
        let is_new = |key: &&FrontendKey| {
            key.address.is_some() && self.tables.frontend(key).is_none() && !self.added.contains_key(key)
        };
        change.gained.keys().filter(is_new).count()
    }

    fn commit(
        &mut self,
        change: &Change<'a>,
        moved: Option<Slab>,
        key: &'a ServicePortKey,
        nodes: &mut Nodes<'a>,
    ) {
        for &(id, backend) in &change.staying {
            self.backends.keep(id, backend, nodes, &mut self.steps);
        }
        let fill = |&backend| self.backends.fill(backend, key.protocol, nodes, &mut self.steps);
        let coming: Vec<_> = change.coming.iter().filter_map(fill).collect();
        // `reserve` saw that there is a number.
        let Some(service) = change.service.or_else(|| self.service_ids.next()) else { return };
        self.commit_slots(service, change, moved, &coming);
        if change.service.is_none() {
            self.steps.push(Step::Names, TableOp::WriteName { service, key: key.clone() });
        }
        self.room = self.room.saturating_sub(self.needs_room(change));
        for (&key, &kind) in &change.gained {
            self.added.entry(key).or_insert(FrontendEntry { service, kind });
        }
        self.dropped.extend(&change.lost);
    }

    fn commit_slots(
        &mut self,
        service: ServiceId,
        change: &Change<'_>,
        moved: Option<Slab>,
        coming: &[BackendId],
    ) {
        let step = if coming.is_empty() { Step::Retreat } else { Step::Slots };
        let mut write = |at: u32, backend| {
            self.steps.push(step, TableOp::WriteSlot { index: at, backend });
        };
        if let Some(slab) = moved {
            for (at, id) in (slab.base..).zip(change.rebuild(coming)) {
                write(at, id);
            }
            let capacity = capacity(slab.len);
            self.steps.push(step, TableOp::SetSlab { service, slab, capacity });
        } else if !change.keeps_slots() {
            let slab = Slab { len: change.len() as u32, ..change.slab };
            for (at, id) in change.rearrange(coming) {
                write(slab.base + at as u32, id);
            }
            if slab != change.slab {
                self.steps.push(step, TableOp::SetSlab { service, slab, capacity: change.capacity });
            }
        }
    }

    fn empty(&mut self, service: ServiceId) {
        if self.tables.service(service).is_some_and(|entry| entry.capacity > 0) {
            let op = TableOp::SetSlab { service, slab: Slab::default(), capacity: 0 };
            self.steps.push(Step::RemoveServices, op);
        }
    }
}

/// How many slots a service of `len` backends owns.
fn capacity(len: u32) -> u32 {
    len.next_power_of_two().max(MIN_CAPACITY)
}
