//! What is in the kernel's tables of one family.

use std::collections::BTreeMap;

use svclb_common::service::{BackendId, FrontendKind, ServiceId, Slab};

use super::{
    BackendEntry, BackendFlags, BackendKey, FrontendEntry, FrontendKey, ServiceEntry, TableOp,
    numbers::Numbers, ranges::Ranges,
};

/// The tables of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    frontends: BTreeMap<FrontendKey, FrontendEntry>,
    /// The other direction of `frontends`.
    by_service: BTreeMap<ServiceId, BTreeMap<FrontendKey, FrontendKind>>,
    addresses: usize,
    services: BTreeMap<ServiceId, ServiceEntry>,
    slots: Vec<BackendId>,
    /// By number: a plan visits every backend of every service.
    backends: Vec<Option<BackendEntry>>,
    by_key: BTreeMap<BackendKey, BackendId>,
    pub(super) service_ids: Numbers,
    pub(super) backend_ids: Numbers,
    pub(super) free_slots: Ranges,
}

impl Tables {
    /// Every frontend, node ports among them.
    pub fn frontends(&self) -> impl Iterator<Item = (FrontendKey, FrontendEntry)> {
        self.frontends.iter().map(|(&key, &entry)| (key, entry))
    }

    /// The frontend under `key`.
    pub fn frontend(&self, key: &FrontendKey) -> Option<FrontendEntry> {
        self.frontends.get(key).copied()
    }

    /// Every frontend that leads to `service`, with its kind.
    pub fn frontends_of(&self, service: ServiceId) -> Option<&BTreeMap<FrontendKey, FrontendKind>> {
        self.by_service.get(&service)
    }

    /// How many frontends have an address.
    pub fn addresses(&self) -> usize {
        self.addresses
    }

    /// Every service cell in use.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &ServiceEntry)> {
        self.services.iter().map(|(&id, entry)| (id, entry))
    }

    /// The service cell `id`.
    pub fn service(&self, id: ServiceId) -> Option<&ServiceEntry> {
        self.services.get(&id)
    }

    /// The backends that `slab` selects from, in the order of its slots. Empty if it was never written.
    pub fn slots(&self, slab: Slab) -> &[BackendId] {
        let base = slab.base as usize;
        self.slots.get(base..base + slab.len as usize).unwrap_or_default()
    }

    /// Every backend cell in use.
    pub fn backends(&self) -> impl Iterator<Item = (BackendId, &BackendEntry)> {
        (0..).zip(&self.backends).filter_map(|(id, entry)| Some((id, entry.as_ref()?)))
    }

    /// The backend cell `id`.
    pub fn backend(&self, id: BackendId) -> Option<&BackendEntry> {
        self.backends.get(id as usize)?.as_ref()
    }

    /// The cell of the backend `key`.
    pub fn backend_id(&self, key: &BackendKey) -> Option<BackendId> {
        self.by_key.get(key).copied()
    }

    /// Does to these tables what the write does to the kernel's.
    pub(super) fn apply(&mut self, op: &TableOp) {
        match *op {
            TableOp::WriteBackend { id, backend } => self.write_backend(id, backend),
            TableOp::SetBackendFlags { id, flags } => self.set_flags(id, flags),
            TableOp::FreeBackend { id } => self.free_backend(id),
            TableOp::WriteSlot { index, backend } => self.write_slot(index, backend),
            TableOp::SetSlab { service, slab, capacity } => self.set_slab(service, slab, capacity),
            TableOp::WriteName { service, ref key } => {
                self.change_service(service, |entry| entry.key = Some(key.clone()));
            }
            TableOp::RemoveName { service } => self.change_service(service, |entry| entry.key = None),
            TableOp::AddFrontend { key, frontend } => self.add_frontend(key, frontend),
            TableOp::RemoveFrontend { ref key } => self.remove_frontend(key),
        }
    }

    fn write_backend(&mut self, id: BackendId, backend: BackendEntry) {
        self.backend_ids.take(id);
        let at = id as usize;
        self.backends.resize(self.backends.len().max(at + 1), None);
        self.backends[at] = Some(backend);
        self.by_key.insert(backend.key, id);
    }

    fn set_flags(&mut self, id: BackendId, flags: BackendFlags) {
        if let Some(Some(backend)) = self.backends.get_mut(id as usize) {
            backend.flags = flags;
        }
    }

    fn free_backend(&mut self, id: BackendId) {
        if let Some(backend) = self.backends.get_mut(id as usize).and_then(Option::take) {
            self.by_key.remove(&backend.key);
            self.backend_ids.give_up(id);
        }
    }

    /// Takes over slots as they were found.
    pub(super) fn set_slots(&mut self, slots: Vec<BackendId>) {
        self.slots = slots;
    }

    fn write_slot(&mut self, index: u32, backend: BackendId) {
        let at = index as usize;
        self.slots.resize(self.slots.len().max(at + 1), 0);
        self.slots[at] = backend;
    }

    fn set_slab(&mut self, service: ServiceId, slab: Slab, capacity: u32) {
        let old = self.services.get(&service).cloned().unwrap_or_default();
        if (old.slab.base, old.capacity) != (slab.base, capacity) {
            self.free_slots.give_up(old.slab.base, old.capacity);
            self.free_slots.take(slab.base, capacity);
        }
        self.change_service(service, |entry| {
            entry.slab = slab;
            entry.capacity = capacity;
        });
    }

    /// A cell comes to be with its first content and is free when it has none.
    fn change_service(&mut self, id: ServiceId, change: impl FnOnce(&mut ServiceEntry)) {
        if !self.services.contains_key(&id) {
            self.service_ids.take(id);
        }
        let entry = self.services.entry(id).or_default();
        change(entry);
        if entry.is_free() {
            self.services.remove(&id);
            self.service_ids.give_up(id);
        }
    }

    fn add_frontend(&mut self, key: FrontendKey, frontend: FrontendEntry) {
        self.remove_frontend(&key);
        self.addresses += usize::from(key.address.is_some());
        self.frontends.insert(key, frontend);
        self.by_service.entry(frontend.service).or_default().insert(key, frontend.kind);
    }

    fn remove_frontend(&mut self, key: &FrontendKey) {
        let Some(old) = self.frontends.remove(key) else { return };
        self.addresses -= usize::from(key.address.is_some());
        if let Some(keys) = self.by_service.get_mut(&old.service) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_service.remove(&old.service);
            }
        }
    }
}
