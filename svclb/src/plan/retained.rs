//! What to ask for while part of the source cannot be read.
//!
//! A file that has not been read once since the agent started may hold anything, also
//! what an earlier agent put into the tables. Until it can be read, the tables are its
//! last good version.

use std::collections::{BTreeMap, BTreeSet};

use svclb_common::service::{FrontendKind, List};

use super::{Applied, FrontendKey, Member, ServiceEntry, Tables, policy::model_policy};
use crate::model::{self, Backend, BackendState, Frontend, Lists, ServicePort, ServicePortKey};

/// `desired`, and what it does not name, or names without backends, of the service ports that an earlier agent
/// left (`inherited`), as they are applied.
pub fn retained(
    desired: &BTreeMap<ServicePortKey, ServicePort>,
    applied: &Applied,
    inherited: &BTreeSet<ServicePortKey>,
) -> BTreeMap<ServicePortKey, ServicePort> {
    let mut services = BTreeMap::new();
    let is_told = |key| desired.get(key).is_some_and(|port: &ServicePort| !port.backends.is_empty());
    for (key, id) in applied.services().filter(|(key, _)| inherited.contains(key) && !is_told(key)) {
        let tables = applied.tables(key.family);
        if let Some(entry) = tables.service(id) {
            services.insert(key.clone(), service_port(applied, tables, id, entry));
        }
    }
    let taken: BTreeSet<_> = services.iter().flat_map(|(key, port)| frontends(key, port)).collect();
    for (key, port) in desired {
        if !services.contains_key(key) {
            let mut port = port.clone();
            port.frontends.retain(|frontend| !taken.contains(&of(key, frontend)));
            services.insert(key.clone(), port);
        }
    }
    services
}

fn frontends(key: &ServicePortKey, port: &ServicePort) -> impl Iterator<Item = (model::Family, FrontendKey)> {
    port.frontends.iter().map(|frontend| of(key, frontend))
}

fn of(key: &ServicePortKey, frontend: &Frontend) -> (model::Family, FrontendKey) {
    (key.family, FrontendKey::new(frontend, key.protocol))
}

fn service_port(applied: &Applied, tables: &Tables, id: u32, entry: &ServiceEntry) -> ServicePort {
    let frontends = tables.frontends_of(id).into_iter().flatten().map(|(key, kind)| Frontend {
        kind: model_kind(*kind),
        address: key.address,
        port: key.port,
    });
    let backend = |(id, Member { lists, weight }): (u32, Member)| {
        let backend = tables.backend(id)?;
        let state = if backend.flags.terminating { BackendState::Terminating } else { BackendState::Active };
        Some(Backend {
            address: backend.key.address,
            port: backend.key.port,
            node: applied.node(backend.flags.node).map(Into::into),
            local: backend.flags.local,
            state,
            lists: Lists { cluster: lists.contains(&List::Cluster), local: lists.contains(&List::Local) },
            weight,
        })
    };
    let mut backends: Vec<_> = tables.backends_of(id).into_iter().filter_map(backend).collect();
    backends.sort();
    let ranges = tables.source_ranges(id).cloned().unwrap_or_default();
    ServicePort { frontends: frontends.collect(), backends, policy: model_policy(entry.cell.policy, ranges) }
}

fn model_kind(kind: FrontendKind) -> model::FrontendKind {
    match kind {
        FrontendKind::ClusterIp => model::FrontendKind::ClusterIp,
        FrontendKind::NodePort => model::FrontendKind::NodePort,
        FrontendKind::ExternalIp => model::FrontendKind::ExternalIp,
        FrontendKind::LoadBalancer => model::FrontendKind::LoadBalancer,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{
        model::{Family, Policy, Protocol, SourceRanges, TrafficPolicy},
        plan::{Limits, plan_all},
    };

    type Services = BTreeMap<ServicePortKey, ServicePort>;

    fn services(services: &[(&str, &str, &[&str])]) -> Services {
        let port = |(name, vip, backends): &(&str, &str, &[&str])| {
            let key = ServicePortKey {
                namespace: "default".into(),
                name: (*name).into(),
                port_name: "".into(),
                protocol: Protocol::Tcp,
                family: Family::V4,
            };
            let frontend = Frontend {
                kind: model::FrontendKind::ClusterIp,
                address: Some(vip.parse().unwrap()),
                port: 80,
            };
            let backend = |address: &&str| Backend {
                address: address.parse().unwrap(),
                port: 8080,
                node: Some("node1".into()),
                local: true,
                state: BackendState::Active,
                lists: Lists { cluster: true, local: *address == "10.244.0.1" },
                weight: 1,
            };
            let backends = backends.iter().map(backend).collect();
            let policy = Policy {
                internal: TrafficPolicy::Local,
                affinity: NonZeroU32::new(10),
                sources: Some(SourceRanges {
                    ranges: ["192.0.2.0/24".parse().unwrap()].into(),
                    admits_host: true,
                }),
                has_endpoints: true,
                ..Policy::default()
            };
            (key, ServicePort { frontends: [frontend].into(), backends, policy })
        };
        services.iter().map(port).collect()
    }

    fn apply(desired: &Services, applied: &mut Applied) -> usize {
        let plan = plan_all(desired, applied, &Limits::default());
        plan.ops.iter().for_each(|op| applied.apply(op));
        plan.ops.len()
    }

    #[test]
    fn what_is_applied_stays_and_what_is_new_comes() {
        let before = services(&[
            ("a", "10.96.0.1", &["10.244.0.1", "10.244.0.2"]),
            ("b", "10.96.0.2", &["10.244.0.3"]),
        ]);
        let mut applied = Applied::default();
        apply(&before, &mut applied);
        // One file with Service a and another with the slices of b cannot be read.
        let inherited = applied.services().map(|(key, _)| key.clone()).collect();
        let half = services(&[("b", "10.96.0.2", &[])]);
        assert_eq!(apply(&retained(&half, &applied, &inherited), &mut applied), 0);
        let more = services(&[
            ("b", "10.96.0.2", &[]),
            ("c", "10.96.0.1", &[]),
            ("d", "10.96.0.4", &["10.244.0.4"]),
        ]);
        apply(&retained(&more, &applied, &inherited), &mut applied);
        let names =
            |applied: &Applied| applied.services().map(|(key, _)| key.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&applied), ["a", "b", "c", "d"]);
        let owner = |vip: &str| {
            let key = FrontendKey { address: Some(vip.parse().unwrap()), port: 80, protocol: Protocol::Tcp };
            let tables = applied.tables(Family::V4);
            let service = tables.service(tables.frontend(&key).unwrap().service).unwrap();
            service.key.clone().unwrap().name.to_string()
        };
        assert_eq!(
            (owner("10.96.0.1"), owner("10.96.0.4")),
            ("a".into(), "d".into()),
            "nobody loses a frontend"
        );
    }
}
