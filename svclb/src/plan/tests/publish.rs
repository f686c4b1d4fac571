//! Between any two writes a program finds what was wanted before or what is wanted now.

use std::collections::BTreeSet;

use ipnet::IpNet;
use proptest::prelude::*;
use svclb_common::service::{
    FrontendKind, List, Policy, SERVICE_EXTERNAL_LOCAL, SERVICE_HAS_ENDPOINTS, SERVICE_INTERNAL_LOCAL,
    SERVICE_RESTRICTED,
};

use super::{
    kernel::{Found, Kernel},
    world::{advance, any_history, owners, serving, wanted},
};
use crate::{
    model::{Family, ServicePortKey, Snapshot},
    plan::{Applied, BackendKey, FrontendKey, policy::map_policy},
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The list that clients of a frontend of that kind select from.
fn list(policy: Policy, kind: FrontendKind) -> List {
    let flag = if kind == FrontendKind::ClusterIp { SERVICE_INTERNAL_LOCAL } else { SERVICE_EXTERNAL_LOCAL };
    if policy.has(flag) { List::Local } else { List::Cluster }
}

fn policy(desired: &Snapshot, key: &ServicePortKey) -> Policy {
    desired.services.get(key).map(|port| map_policy(&port.policy)).unwrap_or_default()
}

/// Who may use the load balancer addresses; `None` is everybody.
fn sources(desired: &Snapshot, key: &ServicePortKey) -> Option<BTreeSet<IpNet>> {
    let sources = desired.services.get(key)?.policy.sources.as_ref()?;
    Some(sources.ranges.iter().map(IpNet::trunc).collect())
}

/// One plan's way from `old` to `new`.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) old: &'a Snapshot,
    pub(super) new: &'a Snapshot,
}

impl Way<'_> {
    /// Whoever looks at tables that were `start` and are `kernel` now.
    pub(super) fn check(self, start: &Kernel, kernel: &Kernel) {
        for family in FAMILIES {
            self.check_reader(kernel, family);
            self.check_sources(kernel, family);
            self.check_cluster_ips(kernel, family);
            self.check_late_reader(start, kernel, family);
        }
    }

    /// Backends that a list may have on the way.
    fn allowed(self, key: &ServicePortKey, list: List) -> BTreeSet<BackendKey> {
        &wanted(self.old, key, list) | &wanted(self.new, key, list)
    }

    /// A program that starts now.
    fn check_reader(self, kernel: &Kernel, family: Family) {
        let (before, after) = (owners(self.old, family), owners(self.new, family));
        let keys: BTreeSet<FrontendKey> = before.keys().chain(after.keys()).copied().collect();
        assert!(kernel.tables(family).frontends.keys().all(|key| keys.contains(key)));
        for key in keys {
            let (before, after) = (before.get(&key).copied(), after.get(&key).copied());
            match kernel.resolve(family, &key) {
                None => assert!(before.is_none() || after.is_none(), "{key:?} is gone for a while"),
                Some(found) if Some(found.name) == before => self.check_changing(&found),
                Some(found) => {
                    let name = found.name;
                    assert_eq!(Some(name), after, "{key:?} leads to a third service");
                    let lists = List::EACH.map(|list| wanted(self.new, name, list));
                    assert_eq!(found.lists, lists, "{key:?} leads to a service in the making");
                    assert_eq!(found.policy, policy(self.new, name));
                }
            }
        }
    }

    /// A service that was there before.
    fn check_changing(self, found: &Found<'_>) {
        let name = found.name;
        for list in List::EACH {
            assert!(found.lists[list as usize].is_subset(&self.allowed(name, list)));
        }
        if !self.new.services.contains_key(name) {
            return;
        }
        let (old, new) = (policy(self.old, name), policy(self.new, name));
        assert!([old, new].contains(&found.policy));
        let is_empty = |desired, policy| wanted(desired, name, list(policy, found.kind)).is_empty();
        let (was_empty, will_be_empty) = (is_empty(self.old, old), is_empty(self.new, new));
        if found.lists[list(found.policy, found.kind) as usize].is_empty() {
            assert!(was_empty || will_be_empty, "{name} is empty for a while");
            let refuses = |policy: Policy| !policy.has(SERVICE_HAS_ENDPOINTS);
            let may_refuse = was_empty && refuses(old) || will_be_empty && refuses(new);
            assert!(may_refuse || !refuses(found.policy), "{name} refuses for a while");
        }
    }

    /// Who is let in: at least those who were and will be, at most those who were or will be.
    fn check_sources(self, kernel: &Kernel, family: Family) {
        for (&id, name) in &kernel.tables(family).names {
            let ports = (self.old.services.get(name), self.new.services.get(name));
            if ports.0.is_none() || ports.1.is_none() {
                continue;
            }
            let found = kernel.tables(family).source_ranges.get(&id).cloned().unwrap_or_default();
            let is_restricted = kernel.cell(family, id).policy.has(SERVICE_RESTRICTED);
            let found = is_restricted.then_some(found);
            match (found, sources(self.old, name), sources(self.new, name)) {
                (None, old, new) => assert!(old.is_none() || new.is_none(), "{name} is open for a while"),
                (Some(found), Some(old), Some(new)) => {
                    assert!(found.is_subset(&(&old | &new)) && found.is_superset(&(&old & &new)));
                }
                (Some(found), one, other) => {
                    assert!(one.or(other).is_none_or(|wanted| found.is_superset(&wanted)), "{name} is shut");
                }
            }
        }
    }

    /// The addresses of which a program says that they are `ClusterIP`s.
    fn check_cluster_ips(self, kernel: &Kernel, family: Family) {
        let tables = kernel.tables(family);
        let has = |address| tables.frontends.keys().any(|key| key.address == Some(address));
        assert!(tables.cluster_ips.iter().copied().all(has), "a ClusterIP has no frontend");
        let of = |desired: &Snapshot| -> BTreeSet<_> {
            let services = desired.services.iter().filter(|(key, _)| key.family == family);
            let frontends = services.flat_map(|(_, port)| &port.frontends);
            let own = frontends.filter(|f| f.kind == crate::model::FrontendKind::ClusterIp);
            own.filter_map(|frontend| frontend.address).collect()
        };
        assert!(
            tables.cluster_ips.is_superset(&(&of(self.old) & &of(self.new))),
            "a ClusterIP is gone for a while"
        );
    }

    /// A program that read slab and backend numbers before the first write, and goes on now.
    fn check_late_reader(self, start: &Kernel, kernel: &Kernel, family: Family) {
        for (&id, name) in &start.tables(family).names {
            let allowed = &serving(self.old, name) | &serving(self.new, name);
            for list in start.cell(family, id).lists {
                for backend in kernel.slots(family, list.slab) {
                    assert!(allowed.contains(&kernel.ghost(family, backend)));
                }
            }
        }
        for (&id, backend) in &start.tables(family).backends {
            assert_eq!(kernel.ghost(family, id), backend.key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_prefix_of_a_plan_is_old_or_new(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        let mut old = Snapshot::default();
        for new in history {
            let (start, way) = (kernel.clone(), Way { old: &old, new: &new });
            for op in advance(&new, &mut applied) {
                kernel.write(&op);
                way.check(&start, &kernel);
            }
            old = new;
        }
    }
}
