//! What is to change about one service.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use svclb_common::service::{FrontendKind, List, Policy, SERVICE_HAS_ENDPOINTS, ServiceId};

use super::{
    BackendKey, CellEntry, FrontendKey, ServiceEntry, Tables,
    entry::map_kind,
    list_change::{ListChange, Shape},
    policy::{LIST_FLAGS, map_policy},
};
use crate::model::{Backend, Protocol, ServicePort};

/// The difference between a service cell and the service port that it is to be.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// The cell.
    pub(super) service: ServiceId,
    /// Whether the cell is in the tables.
    pub(super) exists: bool,
    /// By [`List`].
    pub(super) lists: [ListChange<'a>; List::EACH.len()],
    /// The policy in the cell.
    pub(super) old_policy: Policy,
    /// The policy that it is to have.
    pub(super) policy: Policy,
    /// Source ranges that come.
    pub(super) opened: Vec<IpNet>,
    /// Source ranges that go.
    pub(super) closed: Vec<IpNet>,
    /// Frontends that come, or whose kind changes.
    pub(super) gained: BTreeMap<FrontendKey, FrontendKind>,
    /// Frontends that go.
    pub(super) lost: Vec<FrontendKey>,
    protocol: Protocol,
}

impl<'a> Change<'a> {
    /// From what is in the cell `service`, if it exists, to `port`.
    pub(super) fn new(
        tables: &'a Tables,
        service: ServiceId,
        entry: Option<&ServiceEntry>,
        port: &'a ServicePort,
        protocol: Protocol,
        maglev_table: u32,
    ) -> Self {
        let shape = Shape { algorithm: port.policy.algorithm, maglev_table };
        let cell = entry.map_or(CellEntry::default(), |entry| entry.cell);
        let lists = List::EACH.map(|list| {
            let wanted: Vec<_> = port.backends.iter().filter(|backend| is_in(backend, list)).collect();
            ListChange::new(tables, list, cell.list(list), &wanted, (protocol, service), shape)
        });
        let mut change = Self {
            service,
            exists: entry.is_some(),
            lists,
            old_policy: cell.policy,
            policy: map_policy(&port.policy),
            opened: Vec::new(),
            closed: Vec::new(),
            gained: BTreeMap::new(),
            lost: Vec::new(),
            protocol,
        };
        change.compare_ranges(tables, port);
        change.compare_frontends(tables, port);
        change
    }

    /// Leaves out what needs room in any table, but for source ranges: they have a table of their own.
    pub(super) fn give_way(&mut self) {
        self.lists.iter_mut().for_each(ListChange::give_way);
        self.gained.clear();
    }

    /// The key of a backend of this service.
    pub(super) fn key(&self, backend: &Backend) -> BackendKey {
        BackendKey::new(backend, self.protocol, self.service)
    }

    /// The keys of the backends that come to any list.
    pub(super) fn coming(&self) -> impl Iterator<Item = BackendKey> + Clone {
        self.lists.iter().flat_map(|list| &list.coming).map(|backend| self.key(backend))
    }

    /// Whether lists are to lose backends after the policy has changed only: clients select from other lists
    /// from then on. If no endpoint is left at all, nobody is helped by waiting.
    pub(super) fn retreats_late(&self) -> bool {
        (self.old_policy.flags ^ self.policy.flags) & LIST_FLAGS != 0
            && self.policy.has(SERVICE_HAS_ENDPOINTS)
    }

    fn compare_ranges(&mut self, tables: &Tables, port: &ServicePort) {
        let own = if self.exists { tables.source_ranges(self.service) } else { None };
        let wanted = port.policy.sources.iter().flat_map(|sources| &sources.ranges);
        let wanted: BTreeSet<_> = wanted.map(IpNet::trunc).collect();
        let has = |range: &IpNet| own.is_some_and(|own| own.contains(range));
        self.opened = wanted.iter().filter(|range| !has(range)).copied().collect();
        self.closed = own.into_iter().flatten().filter(|range| !wanted.contains(range)).copied().collect();
    }

    fn compare_frontends(&mut self, tables: &Tables, port: &ServicePort) {
        let own = if self.exists { tables.frontends_of(self.service) } else { None };
        let wanted = || {
            let frontends = port.frontends.iter();
            frontends.map(|frontend| (FrontendKey::new(frontend, self.protocol), map_kind(frontend.kind)))
        };
        let has = |&(key, kind): &(FrontendKey, FrontendKind)| {
            let place = own.and_then(|own| own.binary_search_by_key(&key, |(key, _)| *key).ok());
            own.zip(place).is_some_and(|(own, place)| own[place].1 == kind)
        };
        let gained: BTreeMap<_, _> = wanted().filter(|frontend| !has(frontend)).collect();
        if let Some(own) = own
            && (own.len() != port.frontends.len() || !gained.is_empty())
        {
            let wanted: BTreeMap<_, _> = wanted().collect();
            self.lost = own.iter().map(|(key, _)| *key).filter(|key| !wanted.contains_key(key)).collect();
        }
        self.gained = gained;
    }
}

fn is_in(backend: &Backend, list: List) -> bool {
    match list {
        List::Cluster => backend.lists.cluster,
        List::Local => backend.lists.local,
        List::Idle => !backend.lists.cluster && !backend.lists.local,
    }
}
