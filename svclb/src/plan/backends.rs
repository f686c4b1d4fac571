//! The backend cells that a plan keeps, fills and gives up.

use std::collections::BTreeMap;

use svclb_common::service::BackendId;

use super::{
    BackendEntry, BackendFlags, BackendKey, Limits, TableOp, Tables,
    marks::Marks,
    nodes::Nodes,
    numbers::Offers,
    steps::{Step, Steps},
};
use crate::model::{Backend, BackendState, Protocol};

/// The backends that all services of a family share.
#[derive(Debug)]
pub(super) struct Backends<'a> {
    tables: &'a Tables,
    ids: Offers<'a>,
    /// Backends that this plan adds.
    fresh: BTreeMap<BackendKey, BackendId>,
    /// Backends in the tables that some service keeps or gets.
    used: Marks,
}

impl<'a> Backends<'a> {
    pub(super) fn new(tables: &'a Tables, limits: &Limits) -> Self {
        let ids = tables.backend_ids.offers(limits.backends);
        Self { tables, ids, fresh: BTreeMap::new(), used: Marks::default() }
    }

    /// Whether there are cells for all of `coming`.
    pub(super) fn have_room(&self, coming: &[&Backend], protocol: Protocol) -> bool {
        let is_new = |backend: &&&Backend| self.id(&BackendKey::new(backend, protocol)).is_none();
        coming.len() <= self.ids.len() || coming.iter().filter(is_new).count() <= self.ids.len()
    }

    /// Keeps the cell `id`, which holds `backend`. Of several services that describe a backend differently,
    /// the first one decides.
    pub(super) fn keep(
        &mut self,
        id: BackendId,
        backend: &'a Backend,
        nodes: &mut Nodes<'a>,
        steps: &mut Steps,
    ) {
        if self.used.insert(id)
            && let Some(old) = self.tables.backend(id)
        {
            let flags = flags(backend, old.flags, nodes);
            if flags != old.flags {
                steps.push(Step::Backends, TableOp::SetBackendFlags { id, flags });
            }
        }
    }

    /// The cell of a backend that comes to a service; `None` if there is no room.
    pub(super) fn fill(
        &mut self,
        backend: &'a Backend,
        protocol: Protocol,
        nodes: &mut Nodes<'a>,
        steps: &mut Steps,
    ) -> Option<BackendId> {
        let key = BackendKey::new(backend, protocol);
        if let Some(id) = self.id(&key) {
            self.keep(id, backend, nodes, steps);
            return Some(id);
        }
        let id = self.ids.next()?;
        self.fresh.insert(key, id);
        let backend = BackendEntry { key, flags: flags(backend, BackendFlags::default(), nodes) };
        steps.push(Step::Backends, TableOp::WriteBackend { id, backend });
        Some(id)
    }

    /// Gives up the cells that no service uses.
    pub(super) fn finish(self, steps: &mut Steps) {
        for (id, _) in self.tables.backends().filter(|&(id, _)| !self.used.contains(id)) {
            steps.push(Step::FreeBackends, TableOp::FreeBackend { id });
        }
    }

    fn id(&self, key: &BackendKey) -> Option<BackendId> {
        self.tables.backend_id(key).or_else(|| self.fresh.get(key).copied())
    }
}

fn flags<'a>(backend: &'a Backend, old: BackendFlags, nodes: &mut Nodes<'a>) -> BackendFlags {
    BackendFlags {
        local: backend.local,
        terminating: backend.state == BackendState::Terminating,
        node: nodes.number(backend.node.as_deref(), old.node),
    }
}
