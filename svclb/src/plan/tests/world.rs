//! A few services, frontends and backends, in any combination.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::{array::uniform6, collection::vec, prelude::*};

use crate::{
    model::{
        Backend, BackendState, Family, Frontend, FrontendKind, Lists, Protocol, ServicePort, ServicePortKey,
        Snapshot,
    },
    plan::{Applied, BackendKey, FrontendKey, Limits, MapOp, plan},
};

const SERVICES: usize = 6;
const BACKENDS: u8 = 12;
const FRONTENDS: u8 = 7;

/// Service port `number`: TCP and UDP, IPv4 and IPv6.
pub(super) fn key(number: usize) -> ServicePortKey {
    ServicePortKey {
        namespace: "shop".into(),
        name: format!("web{}", number / 2),
        port_name: String::new(),
        protocol: if number % 3 == 2 { Protocol::Udp } else { Protocol::Tcp },
        family: if number.is_multiple_of(2) { Family::V4 } else { Family::V6 },
    }
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

/// Any snapshot. Frontend 0 and 1 are node ports.
fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let services = uniform6((prop::bool::weighted(0.8), any::<u16>(), any::<bool>()));
    let owners = vec(0..SERVICES + 1, usize::from(FRONTENDS));
    let kinds = vec(any::<bool>(), usize::from(FRONTENDS));
    let flags = vec((any::<bool>(), any::<bool>(), 0..4u8), usize::from(BACKENDS));
    (services, owners, kinds, flags).prop_map(|(services, owners, kinds, flags)| {
        let port = |number: usize, members: u16, few: bool| {
            let family = key(number).family;
            let members = if few { members & 0x1f } else { members };
            let frontends = (0..FRONTENDS).filter(|&at| owners[usize::from(at)] == number).map(|at| {
                let (kind, address) = match (at, kinds[usize::from(at)]) {
                    (0..2, _) => (FrontendKind::NodePort, None),
                    (_, true) => (FrontendKind::ClusterIp, Some(address(family, 0, at.into()))),
                    (_, false) => (FrontendKind::ExternalIp, Some(address(family, 0, at.into()))),
                };
                Frontend { kind, address, port: 30_000 + u16::from(at) }
            });
            let backends = (0..BACKENDS).filter(|at| members >> at & 1 == 1).map(|at| {
                let (local, terminating, node) = flags[usize::from(at)];
                let state = if terminating { BackendState::Terminating } else { BackendState::Active };
                let node = (node > 0).then(|| format!("node{node}"));
                Backend { node, local, state, ..backend(family, at.into()) }
            });
            ServicePort {
                frontends: frontends.collect(),
                backends: backends.collect(),
                ..ServicePort::default()
            }
        };
        let present = services.into_iter().enumerate().filter(|(_, (present, ..))| *present);
        snapshot(present.map(|(number, (_, members, few))| (key(number), port(number, members, few))))
    })
}

/// Any history of snapshots.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Snapshot>> {
    vec(any_snapshot(), 1..9)
}

/// Plans without limits and applies.
pub(super) fn advance(desired: &Snapshot, applied: &mut Applied) -> Vec<MapOp> {
    let plan = plan(desired, applied, &Limits::default());
    assert_eq!(plan.refused, []);
    for op in &plan.ops {
        applied.apply(op);
    }
    plan.ops
}

/// The backends that a service port is to have; none if there is no such service port.
pub(super) fn wanted(desired: &Snapshot, key: &ServicePortKey) -> BTreeSet<BackendKey> {
    let backends = desired.services.get(key).into_iter().flat_map(|port| &port.backends);
    backends.map(|backend| BackendKey::new(backend, key.protocol)).collect()
}

/// The owner of every frontend of `family`.
pub(super) fn owners(desired: &Snapshot, family: Family) -> BTreeMap<FrontendKey, &ServicePortKey> {
    let services = desired.services.iter().filter(|(key, _)| key.family == family);
    services
        .flat_map(|(key, port)| port.frontends.iter().map(move |f| (FrontendKey::new(f, key.protocol), key)))
        .collect()
}
