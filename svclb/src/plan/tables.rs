//! What is in the kernel's tables of one family.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use svclb_common::service::{BackendId, FrontendKind, List, ServiceId, Slab, Slot};

use super::{
    BackendEntry, BackendKey, CellEntry, FrontendEntry, FrontendKey, ListEntry, ServiceEntry, TableOp,
    address_set::{AddressSet, cluster_ip, external_ip},
    cells::Cells,
    numbers::Numbers,
    ranges::Ranges,
    slots::Slots,
    visits::visit,
};
use crate::{
    compact::compact,
    model::{Protocol, ServicePortKey},
};

/// How a backend belongs to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The lists that it is in.
    pub lists: Vec<List>,
    /// Its share in relation to the others.
    pub weight: u8,
}

/// The tables of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    frontends: BTreeMap<FrontendKey, FrontendEntry>,
    /// The other direction of `frontends`.
    by_service: BTreeMap<ServiceId, Vec<(FrontendKey, FrontendKind)>>,
    addresses: usize,
    /// Frontends of SCTP other than a `ClusterIP`.
    streams: usize,
    services: BTreeMap<ServiceId, ServiceEntry>,
    /// Cells in `services` without a name.
    nameless: BTreeSet<ServiceId>,
    slots: Slots,
    source_ranges: BTreeMap<ServiceId, BTreeSet<IpNet>>,
    source_range_count: usize,
    pub(super) cells: Cells,
    pub(super) cluster_ips: AddressSet,
    pub(super) external_ips: AddressSet,
    pub(super) service_ids: Numbers,
    pub(super) free_slots: Ranges,
}

impl Tables {
    /// Every frontend, node ports among them.
    pub fn frontends(&self) -> impl Iterator<Item = (FrontendKey, FrontendEntry)> {
        self.frontends.iter().map(|(&key, &entry)| (key, entry)).inspect(|_| visit(1))
    }

    /// The frontend under `key`.
    pub fn frontend(&self, key: &FrontendKey) -> Option<FrontendEntry> {
        visit(1);
        self.frontends.get(key).copied()
    }

    /// Every frontend that leads to `service`, with its kind, in order.
    pub fn frontends_of(&self, service: ServiceId) -> Option<&[(FrontendKey, FrontendKind)]> {
        let frontends = self.by_service.get(&service)?;
        visit(frontends.len());
        Some(frontends)
    }

    /// How many frontends have an address.
    pub fn addresses(&self) -> usize {
        self.addresses
    }

    /// Whether SCTP is served at other addresses than a `ClusterIP`.
    pub fn have_streams(&self) -> bool {
        self.streams > 0
    }

    /// Every service cell in use.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &ServiceEntry)> {
        self.services.iter().map(|(&id, entry)| (id, entry)).inspect(|_| visit(1))
    }

    /// The service cell `id`.
    pub fn service(&self, id: ServiceId) -> Option<&ServiceEntry> {
        visit(1);
        self.services.get(&id)
    }

    /// Service cells in use that have no name.
    pub(super) fn nameless(&self) -> impl Iterator<Item = ServiceId> {
        self.nameless.iter().copied().inspect(|_| visit(1))
    }

    /// What `slab` selects from, in the order of its slots. Empty if it was never written.
    pub fn slots(&self, slab: Slab) -> &[Slot] {
        self.slots.get(slab)
    }

    /// Every backend of the cell `service` once.
    pub fn backends_of(&self, service: ServiceId) -> BTreeMap<BackendId, Member> {
        let mut found = BTreeMap::<_, Member>::new();
        let cell = self.service(service).map(|entry| entry.cell).unwrap_or_default();
        for list in List::EACH {
            for slot in self.slots(cell.list(list).slab) {
                let member = found.entry(slot.backend).or_default();
                member.weight = slot.weight;
                if member.lists.last() != Some(&list) {
                    member.lists.push(list);
                }
            }
        }
        found
    }

    /// Every backend cell in use.
    pub fn backends(&self) -> impl Iterator<Item = (BackendId, &BackendEntry)> {
        self.cells.iter()
    }

    /// The backend cell `id`.
    pub fn backend(&self, id: BackendId) -> Option<&BackendEntry> {
        self.cells.get(id)
    }

    /// The cell of the backend `key`.
    pub fn backend_id(&self, key: &BackendKey) -> Option<BackendId> {
        self.cells.id(key)
    }

    /// Who may use the load balancer addresses of `service`, as far as its policy restricts them.
    pub fn source_ranges(&self, service: ServiceId) -> Option<&BTreeSet<IpNet>> {
        let ranges = self.source_ranges.get(&service)?;
        visit(ranges.len());
        Some(ranges)
    }

    /// How many source ranges all services have together.
    pub fn source_range_count(&self) -> usize {
        self.source_range_count
    }

    /// The smallest range that holds every `ClusterIP`.
    pub fn cluster_ip_cover(&self) -> Option<IpNet> {
        self.cluster_ips.cover()
    }

    /// Whether `address` is in the set of `ClusterIP`s.
    pub fn has_cluster_ip(&self, address: IpAddr) -> bool {
        self.cluster_ips.is_listed(address)
    }

    /// Does to these tables what the write does to the kernel's.
    pub(super) fn apply(&mut self, op: &TableOp) {
        match *op {
            TableOp::WriteBackend { id, backend } => self.cells.write(id, backend),
            TableOp::SetBackendFlags { id, flags } => self.cells.set_flags(id, flags),
            TableOp::FreeBackend { id } => self.cells.free(id),
            TableOp::WriteSlot { index, slot } => self.slots.write(index, slot, &mut self.cells),
            TableOp::SetSlab { service, list, slab, capacity } => {
                self.set_slab(service, list, ListEntry { slab, capacity });
            }
            TableOp::SetPolicy { service, policy } => {
                self.change_service(service, |entry| entry.cell.policy = policy);
            }
            TableOp::WriteName { service, ref key } => {
                self.change_service(service, |entry| entry.key = Some(key.clone()));
            }
            TableOp::RemoveName { service } => self.change_service(service, |entry| entry.key = None),
            TableOp::AddRange { service, range } => self.add_range(service, range),
            TableOp::RemoveRange { service, range } => self.remove_range(service, range),
            TableOp::AddFrontend { key, frontend } => self.add_frontend(key, frontend),
            TableOp::RemoveFrontend { ref key } => self.remove_frontend(key),
            TableOp::AddClusterIp { address } => self.cluster_ips.set_listed(address, true),
            TableOp::RemoveClusterIp { address } => self.cluster_ips.set_listed(address, false),
            TableOp::AddExternalIp { address } => self.external_ips.set_listed(address, true),
            TableOp::RemoveExternalIp { address } => self.external_ips.set_listed(address, false),
        }
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.frontends);
        compact(&mut self.by_service);
        compact(&mut self.services);
        self.cells.compact();
        self.slots.compact();
        self.cluster_ips.compact();
        self.external_ips.compact();
    }

    /// Has the cell's name as `key`, which equals it.
    pub(super) fn rename(&mut self, service: ServiceId, key: &ServicePortKey) {
        if let Some(entry) = self.services.get_mut(&service)
            && entry.key.as_ref() == Some(key)
        {
            entry.key = Some(key.clone());
        }
    }

    /// Takes over slots as they were found.
    pub(super) fn set_slots(&mut self, slots: Vec<Slot>) {
        self.slots.set(slots);
    }

    fn set_slab(&mut self, service: ServiceId, list: List, new: ListEntry) {
        let cell = self.services.get(&service).map_or(CellEntry::default(), |entry| entry.cell);
        let old = cell.list(list);
        if (old.slab.base, old.capacity) != (new.slab.base, new.capacity) {
            self.free_slots.give_up(old.slab.base, old.capacity);
            self.free_slots.take(new.slab.base, new.capacity);
        }
        self.slots.switch(old.slab, new.slab, &mut self.cells);
        self.change_service(service, |entry| entry.cell.lists[list as usize] = new);
    }

    /// A cell comes to be with its first content and is free when it has none.
    fn change_service(&mut self, id: ServiceId, change: impl FnOnce(&mut ServiceEntry)) {
        if !self.services.contains_key(&id) {
            self.service_ids.take(id);
        }
        let entry = self.services.entry(id).or_default();
        change(entry);
        if entry.key.is_some() {
            self.nameless.remove(&id);
        } else if entry.is_free() {
            self.services.remove(&id);
            self.nameless.remove(&id);
            self.service_ids.give_up(id);
        } else {
            self.nameless.insert(id);
        }
    }

    fn add_range(&mut self, service: ServiceId, range: IpNet) {
        if self.source_ranges.entry(service).or_default().insert(range) {
            self.source_range_count += 1;
        }
    }

    fn remove_range(&mut self, service: ServiceId, range: IpNet) {
        let Some(ranges) = self.source_ranges.get_mut(&service) else { return };
        if ranges.remove(&range) {
            self.source_range_count -= 1;
        }
        if ranges.is_empty() {
            self.source_ranges.remove(&service);
        }
    }

    fn add_frontend(&mut self, key: FrontendKey, frontend: FrontendEntry) {
        // The new one first, so that an address which stays a ClusterIP is one all the time.
        if let Some(address) = cluster_ip(&key, frontend.kind) {
            self.cluster_ips.add_frontend(address);
        }
        if let Some(address) = external_ip(&key, frontend.kind) {
            self.external_ips.add_frontend(address);
        }
        self.remove_frontend(&key);
        self.addresses += usize::from(key.address.is_some());
        self.streams += usize::from(is_stream(&key, frontend.kind));
        self.frontends.insert(key, frontend);
        // Almost every service has one or two.
        let keys = self.by_service.entry(frontend.service).or_insert_with(|| Vec::with_capacity(1));
        let place = keys.binary_search_by_key(&key, |(key, _)| *key).unwrap_or_else(|place| place);
        keys.insert(place, (key, frontend.kind));
    }

    fn remove_frontend(&mut self, key: &FrontendKey) {
        let Some(old) = self.frontends.remove(key) else { return };
        if let Some(address) = cluster_ip(key, old.kind) {
            self.cluster_ips.remove_frontend(address);
        }
        if let Some(address) = external_ip(key, old.kind) {
            self.external_ips.remove_frontend(address);
        }
        self.addresses -= usize::from(key.address.is_some());
        self.streams -= usize::from(is_stream(key, old.kind));
        if let Some(keys) = self.by_service.get_mut(&old.service) {
            keys.retain(|(other, _)| other != key);
            if keys.is_empty() {
                self.by_service.remove(&old.service);
            }
        }
    }
}

fn is_stream(key: &FrontendKey, kind: FrontendKind) -> bool {
    key.protocol == Protocol::Sctp && kind != FrontendKind::ClusterIp
}
