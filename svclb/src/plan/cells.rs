//! Backend cells, and how many slots name each.

use std::collections::{BTreeMap, BTreeSet};

use svclb_common::service::BackendId;

use super::{BackendEntry, BackendFlags, BackendKey, numbers::Numbers, visits::visit};
use crate::compact::compact;

/// The backend cells of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// By number.
    entries: Vec<Option<BackendEntry>>,
    by_key: BTreeMap<BackendKey, BackendId>,
    pub(super) ids: Numbers,
    /// By number: slots in use that name the cell.
    uses: Vec<u32>,
    /// Cells with a backend that no slot names.
    unused: BTreeSet<BackendId>,
}

impl Cells {
    /// Every cell in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BackendId, &BackendEntry)> {
        let cells = (0..).zip(&self.entries).filter_map(|(id, entry)| Some((id, entry.as_ref()?)));
        cells.inspect(|_| visit(1))
    }

    /// The cell `id`.
    pub(super) fn get(&self, id: BackendId) -> Option<&BackendEntry> {
        visit(1);
        self.entries.get(id as usize)?.as_ref()
    }

    /// The cell of the backend `key`.
    pub(super) fn id(&self, key: &BackendKey) -> Option<BackendId> {
        visit(1);
        self.by_key.get(key).copied()
    }

    /// How many slots in use name the cell `id`.
    pub(super) fn uses(&self, id: BackendId) -> u32 {
        self.uses.get(id as usize).copied().unwrap_or(0)
    }

    /// Cells with a backend that no slot names.
    pub(super) fn unused(&self) -> impl Iterator<Item = BackendId> {
        self.unused.iter().copied().inspect(|_| visit(1))
    }

    pub(super) fn write(&mut self, id: BackendId, backend: BackendEntry) {
        self.ids.take(id);
        let at = id as usize;
        self.entries.resize(self.entries.len().max(at + 1), None);
        if let Some(old) = self.entries[at].replace(backend) {
            self.forget(&old.key, id);
        }
        self.by_key.insert(backend.key, id);
        self.note(id);
    }

    pub(super) fn set_flags(&mut self, id: BackendId, flags: BackendFlags) {
        if let Some(Some(backend)) = self.entries.get_mut(id as usize) {
            backend.flags = flags;
        }
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.by_key);
        self.entries.shrink_to_fit();
        self.uses.shrink_to_fit();
    }

    pub(super) fn free(&mut self, id: BackendId) {
        if let Some(backend) = self.entries.get_mut(id as usize).and_then(Option::take) {
            self.forget(&backend.key, id);
            self.ids.give_up(id);
            self.note(id);
        }
    }

    /// One more slot names the cell `id`.
    pub(super) fn hold(&mut self, id: BackendId) {
        let at = id as usize;
        self.uses.resize(self.uses.len().max(at + 1), 0);
        self.uses[at] += 1;
        self.note(id);
    }

    /// One slot less names the cell `id`.
    pub(super) fn release(&mut self, id: BackendId) {
        if let Some(uses) = self.uses.get_mut(id as usize) {
            *uses = uses.saturating_sub(1);
        }
        self.note(id);
    }

    fn forget(&mut self, key: &BackendKey, id: BackendId) {
        if self.by_key.get(key) == Some(&id) {
            self.by_key.remove(key);
        }
    }

    fn note(&mut self, id: BackendId) {
        let has_backend = self.entries.get(id as usize).is_some_and(Option::is_some);
        if has_backend && self.uses(id) == 0 {
            self.unused.insert(id);
        } else {
            self.unused.remove(&id);
        }
    }
}
