//! The plan of one address family.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use svclb_common::service::{BackendId, ServiceId, Slab};

use super::{
    BackendEntry, BackendFlags, BackendKey, FrontendEntry, FrontendKey, Limits, Refusal, TableOp, Tables,
    change::Change,
    marks::Marks,
    nodes::Nodes,
    numbers::Offers,
    ranges::Ranges,
    steps::{Step, Steps},
};
use crate::model::{Backend, BackendState, ServicePort, ServicePortKey};

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
    backend_ids: Offers<'a>,
    free_slots: Cow<'a, Ranges>,
    /// How many more frontends with an address there may be.
    room: usize,
    /// Backends that this plan adds.
    fresh: BTreeMap<BackendKey, BackendId>,
    /// Backends that some service keeps or gets.
    used: Marks,
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
            backend_ids: tables.backend_ids.offers(limits.backends),
            free_slots: Cow::Borrowed(&tables.free_slots),
            room: (limits.frontends as usize).saturating_sub(tables.addresses()),
            fresh: BTreeMap::new(),
            used: Marks::default(),
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
        for (id, _) in self.tables.backends().filter(|&(id, _)| !self.used.contains(id)) {
            self.steps.push(Step::FreeBackends, TableOp::FreeBackend { id });
        }
        self.steps
    }

    /// Checks that there is room for all of `change`, and takes the slots if it needs other ones.
    fn reserve(&mut self, change: &Change<'_>, key: &ServicePortKey) -> Result<Option<Slab>, Refusal> {
        if change.service.is_none() && self.service_ids.len() == 0 {
            return Err(Refusal::Services);
        }
        let is_new = |backend: &&&Backend| self.known(&BackendKey::new(backend, key.protocol)).is_none();
        if change.coming.iter().filter(is_new).count() > self.backend_ids.len() {
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
            self.keep_backend(id, backend, nodes);
        }
        let coming: Vec<_> =
            change.coming.iter().filter_map(|backend| self.backend(backend, key, nodes)).collect();
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
            (slab.base..).zip(change.rebuild(coming)).for_each(|(at, id)| write(at, id));
            let capacity = capacity(slab.len);
            self.steps.push(step, TableOp::SetSlab { service, slab, capacity });
        } else if !change.keeps_slots() {
            let slab = Slab { len: change.len() as u32, ..change.slab };
            change.rearrange(coming).into_iter().for_each(|(at, id)| write(slab.base + at as u32, id));
            if slab != change.slab {
                self.steps.push(step, TableOp::SetSlab { service, slab, capacity: change.capacity });
            }
        }
    }

    /// The cell of a backend that is in the tables, or will be.
    fn known(&self, key: &BackendKey) -> Option<BackendId> {
        self.tables.backend_id(key).or_else(|| self.fresh.get(key).copied())
    }

    /// The cell of a backend that comes to a service.
    fn backend(
        &mut self,
        backend: &'a Backend,
        port: &ServicePortKey,
        nodes: &mut Nodes<'a>,
    ) -> Option<BackendId> {
        let key = BackendKey::new(backend, port.protocol);
        if let Some(id) = self.known(&key) {
            self.keep_backend(id, backend, nodes);
            return Some(id);
        }
        let id = self.backend_ids.next()?;
        self.used.insert(id);
        self.fresh.insert(key, id);
        let backend = BackendEntry { key, flags: flags(backend, 0, nodes) };
        self.steps.push(Step::Backends, TableOp::WriteBackend { id, backend });
        Some(id)
    }

    /// Of several services that describe a backend differently, the first one decides.
    fn keep_backend(&mut self, id: BackendId, backend: &'a Backend, nodes: &mut Nodes<'a>) {
        if self.used.insert(id)
            && let Some(old) = self.tables.backend(id)
        {
            let flags = flags(backend, old.flags.node, nodes);
            if flags != old.flags {
                self.steps.push(Step::Backends, TableOp::SetBackendFlags { id, flags });
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

fn flags<'a>(backend: &'a Backend, node: u32, nodes: &mut Nodes<'a>) -> BackendFlags {
    BackendFlags {
        local: backend.local,
        terminating: backend.state == BackendState::Terminating,
        node: nodes.number(backend.node.as_deref(), node),
    }
}
