//! The backend cells that a plan keeps, fills and gives up.

use std::collections::{BTreeMap, BTreeSet};

use svclb_common::service::BackendId;

use super::{
    BackendEntry, BackendFlags, BackendKey, Limits, TableOp, Tables,
    nodes::Nodes,
    numbers::Offers,
    steps::{Step, Steps},
};
use crate::model::{Backend, BackendState};

/// The backends that all services of a family share.
#[derive(Debug)]
pub(super) struct Backends<'a> {
    tables: &'a Tables,
    ids: Offers<'a>,
    /// Backends that this plan adds, or takes over from nobody.
    fresh: BTreeMap<BackendKey, BackendId>,
    /// Cells that were nobody's.
    adopted: BTreeSet<BackendId>,
    /// By how much the number of slots that name a cell changes.
    changes: BTreeMap<BackendId, i64>,
    /// Cells that are as some service describes them, in no order.
    settled: Vec<BackendId>,
    /// Cells that some service does not describe as they are, by the first such description.
    described: BTreeMap<BackendId, &'a Backend>,
}

impl<'a> Backends<'a> {
    pub(super) fn new(tables: &'a Tables, limits: &Limits) -> Self {
        Self {
            tables,
            ids: tables.cells.ids.offers(limits.backends),
            fresh: BTreeMap::new(),
            adopted: BTreeSet::new(),
            changes: BTreeMap::new(),
            settled: Vec::new(),
            described: BTreeMap::new(),
        }
    }

    /// Whether there are cells for all of `coming`.
    pub(super) fn have_room(&self, coming: impl Iterator<Item = BackendKey> + Clone) -> bool {
        let left = self.ids.len();
        // Most of the time counting is enough.
        if coming.clone().take(left + 1).count() <= left {
            return true;
        }
        let new: BTreeSet<_> =
            coming.filter(|key| self.id(key).or_else(|| self.stray(key)).is_none()).collect();
        new.len() <= left
    }

    /// Keeps the cell `id`, which holds `backend`.
    ///
    /// Services may describe one backend differently, for a moment or by mistake. The first description wins,
    /// unless the cell is as another one says: so a plan that comes across one of the services only, and a later
    /// one that comes across all of them, do not undo each other.
    pub(super) fn keep(&mut self, id: BackendId, backend: &'a Backend, nodes: &Nodes<'a>) {
        let Some(BackendEntry { flags, .. }) = self.tables.backend(id) else { return };
        let is_terminating = backend.state == BackendState::Terminating;
        if (flags.local, flags.terminating) == (backend.local, is_terminating)
            && nodes.is(flags.node, backend.node.as_deref())
        {
            self.settled.push(id);
        } else {
            self.described.entry(id).or_insert(backend);
        }
    }

    /// The cell of a backend that comes to a service; `None` if there is no room.
    pub(super) fn fill(
        &mut self,
        backend: &'a Backend,
        key: BackendKey,
        nodes: &mut Nodes<'a>,
        steps: &mut Steps,
    ) -> Option<BackendId> {
        if let Some(id) = self.id(&key) {
            if !self.adopted.contains(&id) {
                self.keep(id, backend, nodes);
            }
            return Some(id);
        }
        let stray = self.stray(&key);
        let old = stray.and_then(|id| self.tables.backend(id)).map(|entry| entry.flags).unwrap_or_default();
        let id = stray.or_else(|| self.ids.next())?;
        self.adopted.extend(stray);
        self.fresh.insert(key, id);
        let flags = flags(backend, old, nodes);
        nodes.carry_over(old.node, flags.node);
        steps.push(Step::Backends, TableOp::WriteBackend { id, backend: BackendEntry { key, flags } });
        Some(id)
    }

    /// Notes that so many more slots, or fewer, name the cell `id`.
    pub(super) fn hold(&mut self, id: BackendId, more: i64) {
        *self.changes.entry(id).or_default() += more;
    }

    /// Changes flags, and gives up the cells that no service uses.
    pub(super) fn finish(mut self, nodes: &mut Nodes<'a>, steps: &mut Steps) {
        // Almost always everybody agrees, and nobody asks who does.
        if !self.described.is_empty() {
            for id in &self.settled {
                self.described.remove(id);
            }
        }
        for (id, backend) in self.described {
            let Some(entry) = self.tables.backend(id) else { continue };
            let flags = flags(backend, entry.flags, nodes);
            if flags != entry.flags {
                nodes.carry_over(entry.flags.node, flags.node);
                steps.push(Step::Backends, TableOp::SetBackendFlags { id, flags });
            }
        }
        let cells = &self.tables.cells;
        let candidates: BTreeSet<_> = self.changes.keys().copied().chain(cells.unused()).collect();
        for id in candidates {
            let change = self.changes.get(&id).copied().unwrap_or(0);
            if let Some(entry) = cells.get(id)
                && i64::from(cells.uses(id)) + change == 0
            {
                nodes.carry_over(entry.flags.node, 0);
                steps.push(Step::FreeBackends, TableOp::FreeBackend { id });
            }
        }
    }

    fn id(&self, key: &BackendKey) -> Option<BackendId> {
        // What carries the number of a service cell that is free is a remnant of the cell's last life.
        let has_owner = || key.owner == 0 || self.tables.service(key.owner).is_some();
        let known = || self.tables.backend_id(key).filter(|_| has_owner());
        self.fresh.get(key).copied().or_else(known)
    }

    /// The cell of the backend `key` that is nobody's.
    fn stray(&self, key: &BackendKey) -> Option<BackendId> {
        let id = || self.tables.backend_id(&key.stray()).filter(|id| !self.adopted.contains(id));
        if key.owner == 0 { None } else { id() }
    }
}

fn flags<'a>(backend: &'a Backend, old: BackendFlags, nodes: &mut Nodes<'a>) -> BackendFlags {
    BackendFlags {
        local: backend.local,
        terminating: backend.state == BackendState::Terminating,
        node: nodes.number(backend.node.as_deref(), old.node),
    }
}
