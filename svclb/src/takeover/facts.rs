//! What the tables of Services and the node say of an entry of connection tracking.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use svclb_common::service::{BackendId, ServiceId};

use super::decide::Node;
use crate::{
    model::{Family, Protocol},
    plan::{Applied, FrontendEntry, FrontendKey},
};

/// Backends of a service by their addresses.
type Backends = HashMap<SocketAddr, BackendId>;

/// The tables, and the node's addresses.
pub(super) struct Facts<'a> {
    applied: &'a Applied,
    own: &'a BTreeSet<IpAddr>,
    /// Those of services that have been asked for.
    backends: RefCell<HashMap<(Family, ServiceId), Backends>>,
}

impl<'a> Facts<'a> {
    /// What is in the tables now.
    pub(super) fn new(applied: &'a Applied, own: &'a BTreeSet<IpAddr>) -> Self {
        Self { applied, own, backends: RefCell::default() }
    }

    fn backends_of(&self, family: Family, service: ServiceId) -> Backends {
        let tables = self.applied.tables(family);
        let ids = tables.backends_of(service).into_keys();
        let found = ids.filter_map(|id| Some((tables.backend(id)?.key, id)));
        found.map(|(key, id)| (SocketAddr::new(key.address, key.port), id)).collect()
    }
}

impl Node for Facts<'_> {
    fn frontend(&self, to: SocketAddr, protocol: Protocol) -> Option<FrontendEntry> {
        let tables = self.applied.tables(Family::of(to.ip()));
        let key = FrontendKey { address: Some(to.ip()), port: to.port(), protocol };
        let node_port = || {
            let is_own = to.ip().is_loopback() || self.is_own(to.ip());
            is_own.then(|| tables.frontend(&FrontendKey { address: None, ..key })).flatten()
        };
        tables.frontend(&key).or_else(node_port)
    }

    fn backend(&self, service: ServiceId, addr: SocketAddr, _: Protocol) -> Option<BackendId> {
        let family = Family::of(addr.ip());
        let mut known = self.backends.borrow_mut();
        let backends = known.entry((family, service)).or_insert_with(|| self.backends_of(family, service));
        backends.get(&addr).copied()
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        self.own.contains(&addr)
    }
}
