//! The plan of one address family.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use svclb_common::service::{BackendId, FrontendKind, LISTS, List, Policy, ServiceId, Slab};

use super::{
    FrontendEntry, FrontendKey, Limits, ListEntry, Refusal, TableOp, Tables,
    address_set::{AddressSet, cluster_ip, external_ip},
    backends::Backends,
    change::Change,
    draft::{Draft, Taken},
    list_change::ListChange,
    nodes::Nodes,
    numbers::Offers,
    steps::{Step, Steps},
};
use crate::model::{ServicePort, ServicePortKey};

/// Smallest number of slots that a list with backends owns.
const MIN_CAPACITY: u32 = 4;

/// A list moves to a smaller slab when it uses no more than this part of a slab worth the writes.
const SPARSE: u32 = 8;

/// Where each list moves to, if it does.
type Moves = [Option<ListEntry>; LISTS];

/// Plans one family, service by service.
#[derive(Debug)]
pub(super) struct FamilyPlan<'a> {
    tables: &'a Tables,
    limits: &'a Limits,
    service_ids: Offers<'a>,
    backends: Backends<'a>,
    free_slots: Draft<'a>,
    /// How many more frontends with an address there may be.
    room: usize,
    /// How many more source ranges there may be.
    range_room: usize,
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
            free_slots: Draft::new(&tables.free_slots),
            room: (limits.frontends as usize).saturating_sub(tables.addresses()),
            range_room: (limits.source_ranges as usize).saturating_sub(tables.source_range_count()),
            added: BTreeMap::new(),
            dropped: BTreeSet::new(),
            steps: Steps::default(),
        }
    }

    /// Makes the cell `id`, or a new one, be `port`. If that is refused, the cell loses what is not wanted
    /// any more and otherwise stays as it is; but source ranges that do not fit only close its load balancer
    /// addresses to the clients in them.
    pub(super) fn service(
        &mut self,
        key: &'a ServicePortKey,
        port: &'a ServicePort,
        id: Option<ServiceId>,
        nodes: &mut Nodes<'a>,
    ) -> Result<(), Refusal> {
        let service = id.or_else(|| self.service_ids.peek()).ok_or(Refusal::Services)?;
        let entry = id.and_then(|id| self.tables.service(id));
        let mut change =
            Change::new(self.tables, service, entry, port, key.protocol, self.limits.maglev_table);
        let (moves, mut refused) = match self.reserve(&change) {
            Ok(moves) => (moves, Ok(())),
            Err(refusal) if !change.exists => return Err(refusal),
            Err(refusal) => {
                change.give_way();
                (Moves::default(), Err(refusal))
            }
        };
        if change.opened.len() > self.range_room {
            change.opened.truncate(self.range_room);
            refused = refused.and(Err(Refusal::SourceRanges));
        }
        self.commit(&change, moves, key, nodes);
        refused
    }

    /// Takes the cell `id` away.
    pub(super) fn remove(&mut self, service: ServiceId) {
        let is_named = self.tables.service(service).is_some_and(|entry| entry.key.is_some());
        self.dropped.extend(self.tables.frontends_of(service).into_iter().flatten().map(|(key, _)| *key));
        for &range in self.tables.source_ranges(service).into_iter().flatten() {
            self.steps.push(Step::RemoveRanges, TableOp::RemoveRange { service, range });
        }
        self.empty(service);
        if is_named {
            self.steps.push(Step::RemoveServices, TableOp::RemoveName { service });
        }
    }

    /// What follows from all services together.
    pub(super) fn finish(mut self, nodes: &mut Nodes<'a>) -> Steps {
        for service in self.tables.nameless() {
            self.remove(service);
        }
        self.dropped.retain(|key| !self.added.contains_key(key));
        self.list_addresses();
        for key in self.dropped {
            self.steps.push(Step::RemoveFrontends, TableOp::RemoveFrontend { key });
        }
        for (key, frontend) in self.added {
            self.steps.push(Step::Frontends, TableOp::AddFrontend { key, frontend });
        }
        self.backends.finish(nodes, &mut self.steps);
        self.steps
    }

    /// Checks that there is room for all of `change` but its source ranges, and takes the slots of lists that
    /// need other ones.
    fn reserve(&mut self, change: &Change<'_>) -> Result<Moves, Refusal> {
        if !self.backends.have_room(change.coming()) {
            return Err(Refusal::Backends);
        }
        if self.needs_room(change) > self.room {
            return Err(Refusal::Frontends);
        }
        let (mut moves, mut taken) = (Moves::default(), Vec::new());
        for list in &change.lists {
            match self.reserve_slots(list, &mut taken) {
                Ok(to) => moves[list.list as usize] = to,
                Err(refusal) => {
                    for taken in taken {
                        self.free_slots.put_back(taken);
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(moves)
    }

    fn reserve_slots(
        &mut self,
        list: &ListChange<'_>,
        taken: &mut Vec<Taken>,
    ) -> Result<Option<ListEntry>, Refusal> {
        let Some(len) = u32::try_from(list.len()).ok().filter(|&len| len <= self.limits.slots) else {
            return Err(Refusal::Slots);
        };
        let sparse = list.capacity >= MIN_CAPACITY * SPARSE * 2 && len <= list.capacity / SPARSE;
        if len <= list.capacity && !sparse {
            return Ok(None);
        }
        if len == 0 {
            return Ok(Some(ListEntry::default()));
        }
        let capacity = len.next_power_of_two().max(MIN_CAPACITY);
        match self.free_slots.allocate(capacity, self.limits.slots) {
            None if !sparse => Err(Refusal::Slots),
            found => {
                taken.extend(found);
                Ok(found.map(|taken| ListEntry { slab: Slab { base: taken.base, len }, capacity }))
            }
        }
    }

    /// How many of the gained frontends take a new place in the table.
    fn needs_room(&self, change: &Change<'_>) -> usize {
        let is_new = |key: &&FrontendKey| {
            key.address.is_some() && self.tables.frontend(key).is_none() && !self.added.contains_key(key)
        };
        change.gained.keys().filter(is_new).count()
    }

    fn commit(&mut self, change: &Change<'a>, moves: Moves, key: &'a ServicePortKey, nodes: &mut Nodes<'a>) {
        let service = change.service;
        for (list, to) in change.lists.iter().zip(moves) {
            for &(id, backend) in &list.staying {
                self.backends.keep(id, backend, nodes);
            }
            let fill = |&backend| self.backends.fill(backend, change.key(backend), nodes, &mut self.steps);
            let coming: Vec<_> = list.coming.iter().filter_map(fill).collect();
            for (id, more) in list.uses(&coming) {
                self.backends.hold(id, more);
            }
            self.commit_slots(change, list, to, &coming);
        }
        if !change.exists {
            self.service_ids.next();
            self.steps.push(Step::Names, TableOp::WriteName { service, key: key.clone() });
        }
        self.range_room -= change.opened.len().min(self.range_room);
        for &range in &change.opened {
            self.steps.push(Step::Ranges, TableOp::AddRange { service, range });
        }
        for &range in &change.closed {
            self.steps.push(Step::RemoveRanges, TableOp::RemoveRange { service, range });
        }
        if change.policy != change.old_policy {
            self.steps.push(Step::Policies, TableOp::SetPolicy { service, policy: change.policy });
        }
        self.room = self.room.saturating_sub(self.needs_room(change));
        for (&key, &kind) in &change.gained {
            self.added.entry(key).or_insert(FrontendEntry { service, kind });
        }
        self.dropped.extend(&change.lost);
    }

    fn commit_slots(
        &mut self,
        change: &Change<'_>,
        list: &ListChange<'_>,
        to: Option<ListEntry>,
        coming: &[BackendId],
    ) {
        let step = match coming {
            [] if change.retreats_late() => Step::LateRetreat,
            [] => Step::Retreat,
            _ => Step::Slots,
        };
        let mut write = |index: u32, slot| {
            self.steps.push(step, TableOp::WriteSlot { index, slot });
        };
        let from = ListEntry { slab: list.slab, capacity: list.capacity };
        let to = if let Some(to) = to {
            for (at, slot) in (to.slab.base..).zip(list.rebuild(coming)) {
                write(at, slot);
            }
            to
        } else if list.keeps_slots() {
            from
        } else {
            for (at, slot) in list.rearrange(coming) {
                write(list.slab.base + at as u32, slot);
            }
            ListEntry { slab: Slab { len: list.len() as u32, ..list.slab }, ..from }
        };
        if to != from {
            self.steps.push(step, set_slab(change.service, list.list, to));
        }
    }

    /// Makes a cell be one that was never used, but for its name.
    fn empty(&mut self, service: ServiceId) {
        let Some(entry) = self.tables.service(service) else { return };
        for list in List::EACH {
            let from = entry.cell.list(list);
            self.tables.slots(from.slab).iter().for_each(|slot| self.backends.hold(slot.backend, -1));
            if from != ListEntry::default() {
                self.steps.push(Step::RemoveServices, set_slab(service, list, ListEntry::default()));
            }
        }
        if entry.cell.policy != Policy::default() {
            let op = TableOp::SetPolicy { service, policy: Policy::default() };
            self.steps.push(Step::RemoveServices, op);
        }
    }

    /// Makes the sets of addresses follow the frontends that come and go.
    fn list_addresses(&mut self) {
        let tables = self.tables;
        for (address, is_listed) in self.moves(&tables.cluster_ips, cluster_ip) {
            let (step, op) = if is_listed {
                (Step::ClusterIps, TableOp::AddClusterIp { address })
            } else {
                (Step::RemoveClusterIps, TableOp::RemoveClusterIp { address })
            };
            self.steps.push(step, op);
        }
        for (address, is_listed) in self.moves(&tables.external_ips, external_ip) {
            let (step, op) = if is_listed {
                (Step::ClusterIps, TableOp::AddExternalIp { address })
            } else {
                (Step::RemoveClusterIps, TableOp::RemoveExternalIp { address })
            };
            self.steps.push(step, op);
        }
    }

    /// The addresses that a set is to get, and those that it is to lose.
    fn moves(
        &self,
        known: &AddressSet,
        of: fn(&FrontendKey, FrontendKind) -> Option<IpAddr>,
    ) -> Vec<(IpAddr, bool)> {
        let mut changes: BTreeMap<_, i64> = known.odd().map(|address| (address, 0)).collect();
        for (key, entry) in &self.added {
            if let Some(ip) = of(key, entry.kind) {
                *changes.entry(ip).or_default() += 1;
            }
        }
        for key in self.added.keys().chain(&self.dropped) {
            let old = self.tables.frontend(key).and_then(|entry| of(key, entry.kind));
            if let Some(ip) = old {
                *changes.entry(ip).or_default() -= 1;
            }
        }
        let moves = changes.into_iter().map(|(address, change)| {
            let wanted = i64::from(known.frontends(address)) + change > 0;
            (address, wanted, known.is_listed(address))
        });
        moves.filter(|(_, wanted, is)| wanted != is).map(|(address, wanted, _)| (address, wanted)).collect()
    }
}

fn set_slab(service: ServiceId, list: List, ListEntry { slab, capacity }: ListEntry) -> TableOp {
    TableOp::SetSlab { service, list, slab, capacity }
}
