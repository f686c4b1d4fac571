//! What is to change about the slots and frontends of one service.

use std::collections::BTreeMap;

use svclb_common::service::{BackendId, FrontendKind, ServiceId, Slab};

use super::{BackendKey, FrontendKey, ServiceEntry, Tables, entry::map_kind};
use crate::model::{Backend, Protocol, ServicePort};

/// The difference between a service cell and the service port that it is to be.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// The cell, if there is one.
    pub(super) service: Option<ServiceId>,
    /// The slots in use.
    pub(super) slab: Slab,
    /// Slots that belong to the cell.
    pub(super) capacity: u32,
    /// The backends in the slots.
    pub(super) slots: &'a [BackendId],
    /// Positions in `slots` whose backend goes, ascending.
    pub(super) holes: Vec<usize>,
    /// Backends that stay.
    pub(super) staying: Vec<(BackendId, &'a Backend)>,
    /// Backends that come.
    pub(super) coming: Vec<&'a Backend>,
    /// Frontends that come, or whose kind changes.
    pub(super) gained: BTreeMap<FrontendKey, FrontendKind>,
    /// Frontends that go.
    pub(super) lost: Vec<FrontendKey>,
}

impl<'a> Change<'a> {
    /// From what is in `service` to `port`.
    pub(super) fn new(
        tables: &'a Tables,
        service: Option<(ServiceId, &ServiceEntry)>,
        port: &'a ServicePort,
        protocol: Protocol,
    ) -> Self {
        let (id, slab, capacity) = match service {
            Some((id, entry)) => (Some(id), entry.slab, entry.capacity),
            None => (None, Slab::default(), 0),
        };
        let mut change = Self {
            service: id,
            slab,
            capacity,
            slots: tables.slots(slab),
            holes: Vec::new(),
            staying: Vec::new(),
            coming: Vec::new(),
            gained: BTreeMap::new(),
            lost: Vec::new(),
        };
        if !change.is_in_order(tables, &port.backends, protocol) {
            change.compare_backends(tables, &port.backends, protocol);
        }
        change.compare_frontends(tables, port, protocol);
        change
    }

    /// Leaves out what needs room in any table.
    pub(super) fn give_way(&mut self) {
        self.coming.clear();
        self.gained.clear();
    }

    /// Whether no slot changes.
    pub(super) fn keeps_slots(&self) -> bool {
        self.holes.is_empty() && self.coming.is_empty()
    }

    /// How many slots there will be.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.holes.len() + self.coming.len()
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

    /// The common case: a service that lost no backend since it was first written has them in order.
    fn is_in_order(&mut self, tables: &Tables, wanted: &'a [Backend], protocol: Protocol) -> bool {
        let same = self.slots.len() == wanted.len()
            && self.slots.iter().zip(wanted).all(|(&id, backend)| {
                tables.backend(id).is_some_and(|entry| entry.key == BackendKey::new(backend, protocol))
            });
        if same {
            self.staying.extend(self.slots.iter().copied().zip(wanted));
        }
        same
    }

    fn compare_backends(&mut self, tables: &Tables, wanted: &'a [Backend], protocol: Protocol) {
        let mut stays = vec![false; wanted.len()];
        for (at, &id) in self.slots.iter().enumerate() {
            let found = tables.backend(id).filter(|entry| entry.key.protocol == protocol).and_then(|entry| {
                let key = (entry.key.address, entry.key.port);
                wanted.binary_search_by_key(&key, |backend| (backend.address, backend.port)).ok()
            });
            match found {
                Some(index) if !stays[index] => {
                    stays[index] = true;
                    self.staying.push((id, &wanted[index]));
                }
                _ => self.holes.push(at),
            }
        }
        self.coming = wanted.iter().zip(stays).filter(|(_, stays)| !stays).map(|(b, _)| b).collect();
    }

    fn compare_frontends(&mut self, tables: &Tables, port: &ServicePort, protocol: Protocol) {
        let own = self.service.and_then(|id| tables.frontends_of(id));
        let wanted = || {
            port.frontends
                .iter()
                .map(|frontend| (FrontendKey::new(frontend, protocol), map_kind(frontend.kind)))
        };
        let new = |(key, kind): &(FrontendKey, _)| own.and_then(|own| own.get(key)) != Some(kind);
        self.gained = wanted().filter(new).collect();
        if let Some(own) = own
            && (own.len() != port.frontends.len() || !self.gained.is_empty())
        {
            let wanted: BTreeMap<_, _> = wanted().collect();
            self.lost = own.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        }
    }
}
