//! A few services, frontends and backends, in any combination.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
};

use ipnet::IpNet;
use proptest::{array::uniform8, collection::vec, prelude::*, sample::select};
use svclb_common::service::List;

use crate::{
    model::{
        Algorithm, Backend, BackendState, Family, Frontend, FrontendKind, Lists, Policy, Protocol, Rate,
        ServicePort, ServicePortKey, Snapshot, SourceRanges, TrafficPolicy,
    },
    plan::{Applied, BackendKey, FrontendKey, Limits, MapOp, plan, plan_all},
};

const SERVICES: usize = 8;
const BACKENDS: u8 = 12;
const FRONTENDS: u8 = 9;

/// Service port `number`: TCP and UDP, IPv4 and IPv6, two of each.
pub(super) fn key(number: usize) -> ServicePortKey {
    ServicePortKey {
        namespace: "shop".into(),
        name: format!("web{}", number / 2).into(),
        port_name: "".into(),
        protocol: if number / 2 % 2 == 1 { Protocol::Udp } else { Protocol::Tcp },
        family: if number.is_multiple_of(2) { Family::V4 } else { Family::V6 },
    }
}

/// Tables with all their room, and Maglev tables that are small enough to be planned often.
pub(super) fn limits() -> Limits {
    Limits { maglev_table: 7, ..Limits::default() }
}

/// Address `number` in a network of `family`.
pub(super) fn address(family: Family, network: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(10, network, high, low).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, network.into(), 0, 0, 0, 0, 0, number).into(),
    }
}

/// A backend that is just there.
pub(super) fn backend(family: Family, number: u16) -> Backend {
    let (node, state) = (Some("node".into()), BackendState::Active);
    Backend {
        address: address(family, 1, number),
        port: 8080,
        node,
        local: false,
        state,
        lists: Lists::CLUSTER,
        weight: 1,
    }
}

/// A ClusterIP.
pub(super) fn cluster_ip(family: Family, number: u16) -> Frontend {
    Frontend { kind: FrontendKind::ClusterIp, address: Some(address(family, 0, number)), port: 80 }
}

/// A snapshot of such services.
pub(super) fn snapshot(services: impl IntoIterator<Item = (ServicePortKey, ServicePort)>) -> Snapshot {
    Snapshot { services: services.into_iter().collect(), ..Snapshot::default() }
}

fn range(family: Family, number: u8) -> IpNet {
    let prefix = if family == Family::V4 { 24 + number } else { 100 + number };
    IpNet::new(address(family, 9, 1), prefix).unwrap()
}

fn any_policy() -> impl Strategy<Value = (Policy, u8)> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let algorithm = prop_oneof![1 => Just(Algorithm::Random), 1 => select(Algorithm::ALL.to_vec())];
    (flags, 0..3u32, prop::option::weighted(0.6, any::<u8>()), algorithm, 0..3u32).prop_map(
        |(flags, affinity, ranges, algorithm, rate)| {
            let local = |is_set| if is_set { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
            let (internal, external, has_endpoints, admits_host) = flags;
            let sources = ranges.map(|_| SourceRanges { ranges: BTreeSet::new(), admits_host });
            let policy = Policy {
                internal: local(internal),
                external: local(external),
                affinity: NonZeroU32::new(affinity),
                sources,
                has_endpoints,
                algorithm,
                rate: Rate::try_from(rate).unwrap(),
            };
            (policy, ranges.unwrap_or(0))
        },
    )
}

/// What a service port is made of: whether it is there, its backends, those in the cluster list, those in the
/// local list, whether it has few, its policy and source ranges.
type Parts = (bool, [u16; 3], bool, (Policy, u8));

fn any_parts() -> impl Strategy<Value = Parts> {
    (prop::bool::weighted(0.8), any::<[u16; 3]>(), any::<bool>(), any_policy())
}

/// Any snapshot. Frontend 0 and 1 are node ports.
fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let services = uniform8(any_parts());
    let owners = vec(0..SERVICES + 1, usize::from(FRONTENDS));
    let kinds = vec(any::<bool>(), usize::from(FRONTENDS));
    let flags = vec((any::<bool>(), any::<bool>(), 0..4u8, 0..4u8), usize::from(BACKENDS));
    (services, owners, kinds, flags).prop_map(|(services, owners, kinds, flags)| {
        let port = |number: usize,
                    [members, cluster, local]: [u16; 3],
                    few: bool,
                    (policy, ranges): (Policy, u8)| {
            let family = key(number).family;
            let members = if few { members & 0x1f } else { members };
            let frontends = (0..FRONTENDS).filter(|&at| owners[usize::from(at)] == number).map(|at| {
                // Two of them share an address.
                let number = u16::from(at.min(FRONTENDS - 2));
                let (kind, address) = match (at, kinds[usize::from(at)]) {
                    (0..2, _) => (FrontendKind::NodePort, None),
                    (_, true) => (FrontendKind::ClusterIp, Some(address(family, 0, number))),
                    (_, false) => (FrontendKind::LoadBalancer, Some(address(family, 0, number))),
                };
                Frontend { kind, address, port: 30_000 + u16::from(at) }
            });
            let backends = (0..BACKENDS).filter(|at| members >> at & 1 == 1).map(|at| {
                let (is_local, terminating, node, weight) = flags[usize::from(at)];
                let state = if terminating { BackendState::Terminating } else { BackendState::Active };
                let node = (node > 0).then(|| format!("node{node}"));
                // Half of the services weigh their backends.
                let weight = if few { weight } else { 1 };
                let lists = Lists {
                    cluster: weight > 0 && cluster >> at & 1 == 1,
                    local: weight > 0 && local >> at & 1 == 1,
                };
                Backend {
                    node: node.map(Into::into),
                    local: is_local,
                    state,
                    lists,
                    weight,
                    ..backend(family, at.into())
                }
            });
            let backends: Vec<_> = backends.collect();
            let is_listed = |backend: &Backend| backend.lists != Lists::default();
            let mut policy = policy;
            policy.has_endpoints |= backends.iter().any(is_listed);
            if let Some(sources) = &mut policy.sources {
                sources.ranges =
                    (0..8).filter(|at| ranges >> at & 1 == 1).map(|at| range(family, at)).collect();
            }
            ServicePort { frontends: frontends.collect(), backends, policy }
        };
        let present = services.into_iter().enumerate().filter(|(_, (present, ..))| *present);
        snapshot(
            present
                .map(|(number, (_, members, few, policy))| (key(number), port(number, members, few, policy))),
        )
    })
}

/// Any history of snapshots.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Snapshot>> {
    vec(any_snapshot(), 1..9)
}

/// Plans all without limits and applies.
pub(super) fn advance(desired: &Snapshot, applied: &mut Applied) -> Vec<MapOp> {
    let plan = plan_all(&desired.services, applied, &limits());
    assert_eq!(plan.refused, []);
    for op in &plan.ops {
        applied.apply(op);
    }
    plan.ops
}

/// The service ports that differ.
pub(super) fn changes<'a>(
    old: &'a Snapshot,
    new: &'a Snapshot,
) -> BTreeMap<&'a ServicePortKey, Option<&'a ServicePort>> {
    let keys: BTreeSet<_> = old.services.keys().chain(new.services.keys()).collect();
    let differs = |key: &&ServicePortKey| old.services.get(*key) != new.services.get(*key);
    keys.into_iter().filter(differs).map(|key| (key, new.services.get(key))).collect()
}

/// Plans what differs, without limits, and applies.
pub(super) fn follow(old: &Snapshot, new: &Snapshot, applied: &mut Applied) -> Vec<MapOp> {
    let plan = plan(changes(old, new), applied, &limits());
    assert_eq!(plan.refused, []);
    for op in &plan.ops {
        applied.apply(op);
    }
    plan.ops
}

/// The backends that a list of a service port is to have; none if there is no such service port.
pub(super) fn wanted(desired: &Snapshot, key: &ServicePortKey, list: List) -> BTreeSet<BackendKey> {
    let backends = desired.services.get(key).into_iter().flat_map(|port| &port.backends);
    let is_in = |backend: &&Backend| match list {
        List::Cluster => backend.lists.cluster,
        List::Local => backend.lists.local,
        List::Idle => backend.lists == Lists::default(),
    };
    backends.filter(is_in).map(|backend| BackendKey::new(backend, key.protocol, 0)).collect()
}

/// Every backend that a service port is to have.
pub(super) fn serving(desired: &Snapshot, key: &ServicePortKey) -> BTreeSet<BackendKey> {
    List::EACH.into_iter().flat_map(|list| wanted(desired, key, list)).collect()
}

/// The owner of every frontend of `family`.
pub(super) fn owners(desired: &Snapshot, family: Family) -> BTreeMap<FrontendKey, &ServicePortKey> {
    let services = desired.services.iter().filter(|(key, _)| key.family == family);
    services
        .flat_map(|(key, port)| port.frontends.iter().map(move |f| (FrontendKey::new(f, key.protocol), key)))
        .collect()
}
