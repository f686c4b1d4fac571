//! A change costs writes in proportion to itself.

use std::{net::Ipv4Addr, ops::Range};

use svclb_common::service::{List, Slab};

use super::world::{advance, backend, cluster_ip, follow, key, limits, snapshot};
use crate::{
    model::{Backend, Family, Frontend, Policy, ServicePort, ServicePortKey, Snapshot, SourceRanges},
    plan::{Applied, Limits, MapOp, TableOp, plan, visits::visits},
};

/// One service with the backends `members`.
fn one_service(members: impl IntoIterator<Item = u16>) -> Snapshot {
    let backends = members.into_iter().map(|number| backend(Family::V4, number)).collect();
    snapshot([(
        key(0),
        ServicePort { frontends: [cluster_ip(Family::V4, 1)].into(), backends, ..ServicePort::default() },
    )])
}

/// A service of 400 ports with the pods `members`.
fn many_ports(members: &[u16]) -> Snapshot {
    snapshot((0..400).map(|port| {
        let key = ServicePortKey { port_name: format!("p{port}").into(), ..key(0) };
        let backends = members.iter().map(|&pod| {
            let backend = backend(Family::V4, pod);
            Backend { port: 8000 + port, ..backend }
        });
        let frontend = Frontend { port, ..cluster_ip(Family::V4, 1) };
        (
            key,
            ServicePort {
                frontends: [frontend].into(),
                backends: backends.collect(),
                ..ServicePort::default()
            },
        )
    }))
}

#[test]
fn one_endpoint_of_five_thousand_costs_three_writes() {
    let mut applied = Applied::default();
    advance(&one_service(0..5000), &mut applied);
    assert_eq!(advance(&one_service(0..5001), &mut applied).len(), 3);
    assert_eq!(advance(&one_service((0..5001).filter(|&at| at != 17)), &mut applied).len(), 3);
    assert_eq!(advance(&one_service((0..5000).filter(|&at| at != 17)), &mut applied).len(), 3);
    // Two cells, two slots (one of them is the hole), the slab, a freed cell.
    assert_eq!(advance(&one_service((0..5002).filter(|&at| at != 17 && at != 30)), &mut applied).len(), 6);
}

#[test]
fn an_endpoint_that_replaces_another_costs_three_writes() {
    let mut applied = Applied::default();
    advance(&one_service(0..10), &mut applied);
    let ops = advance(&one_service(1..11), &mut applied);
    assert!(matches!(
        ops[..],
        [
            MapOp::Table { op: TableOp::WriteBackend { .. }, .. },
            MapOp::Table { op: TableOp::WriteSlot { .. }, .. },
            MapOp::Table { op: TableOp::FreeBackend { .. }, .. },
        ]
    ));
}

#[test]
fn one_pod_of_four_hundred_ports_costs_three_writes_a_port() {
    let mut applied = Applied::default();
    advance(&many_ports(&[0, 1, 2]), &mut applied);
    assert_eq!(advance(&many_ports(&[0, 1, 2, 3]), &mut applied).len(), 3 * 400);
    assert_eq!(advance(&many_ports(&[1, 2, 3]), &mut applied).len(), 3 * 400);
}

#[test]
fn a_slab_that_is_too_small_is_left_by_one_write() {
    let mut applied = Applied::default();
    advance(&one_service(0..4), &mut applied);
    let ops = advance(&one_service(0..5), &mut applied);
    assert_eq!(ops.len(), 1 + 5 + 1);
    let op =
        TableOp::SetSlab { service: 1, list: List::Cluster, slab: Slab { base: 4, len: 5 }, capacity: 8 };
    assert_eq!(ops.last(), Some(&MapOp::Table { family: Family::V4, op }));
}

#[test]
fn a_slab_that_is_nearly_empty_is_given_back() {
    let mut applied = Applied::default();
    advance(&one_service(0..5000), &mut applied);
    let capacity =
        |applied: &Applied| applied.tables(Family::V4).service(1).unwrap().cell.list(List::Cluster).capacity;
    assert_eq!(capacity(&applied), 8192);
    advance(&one_service(0..1025), &mut applied);
    assert_eq!(capacity(&applied), 8192);
    advance(&one_service(0..1024), &mut applied);
    assert_eq!(capacity(&applied), 1024);
}

#[test]
fn a_dead_backend_is_led_to_no_more_before_anything_else_is_written() {
    let port = |number: u16, members: Range<u16>| {
        let backends = members.map(|number| backend(Family::V4, number)).collect();
        ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
    };
    let mut applied = Applied::default();
    advance(&snapshot([(key(4), port(1, 0..3))]), &mut applied);
    let ops = advance(&snapshot([(key(0), port(2, 5..9)), (key(4), port(1, 0..2))]), &mut applied);
    assert!(matches!(ops[0], MapOp::Table { op: TableOp::SetSlab { .. }, .. }));
}

/// That many services with a ClusterIP, three backends on three nodes and a source range each; the first has
/// `members`.
fn many_services(number: u32, members: Range<u32>) -> Snapshot {
    let address = |network: u8, at: u32| Ipv4Addr::from(u32::from_be_bytes([network, 0, 0, 0]) + at).into();
    snapshot((0..number).map(|at| {
        let name = format!("web{at}");
        let members = if at == 0 { members.clone() } else { 3 * at + 1..3 * at + 4 };
        let backends = members.map(|pod| Backend {
            address: address(10, pod),
            node: Some(format!("node{}", pod % 3).into()),
            ..backend(Family::V4, 0)
        });
        let sources = SourceRanges { ranges: ["192.0.2.0/24".parse().unwrap()].into(), admits_host: false };
        let port = ServicePort {
            frontends: [Frontend { address: Some(address(11, at)), ..cluster_ip(Family::V4, 0) }].into(),
            backends: backends.collect(),
            policy: Policy { sources: Some(sources), ..Policy::default() },
        };
        (ServicePortKey { name: name.into(), ..key(0) }, port)
    }))
}

/// 44,000 services of three backends are more than the tables hold by default.
const NO_LIMITS: Limits = Limits {
    frontends: u32::MAX,
    services: u32::MAX,
    slots: u32::MAX,
    backends: u32::MAX,
    source_ranges: u32::MAX,
    nodes: u32::MAX,
    maglev_table: 7,
};

/// Writes for one more backend of the first of `number` services, and for the first service's end, and how many
/// elements of the tables the plans look at.
fn cost_among(number: u32) -> [(usize, usize); 4] {
    let (old, new) = (many_services(number, 0..3), many_services(number, 0..4));
    let mut applied = Applied::default();
    let all = old.services.iter().map(|(key, port)| (key, Some(port)));
    for op in plan(all, &applied, &NO_LIMITS).ops {
        applied.apply(&op);
    }
    let first = old.services.keys().next().unwrap();
    let limits = NO_LIMITS;
    let mut cost = |port| {
        let (plan, looks) = visits(|| plan([(first, port)], &applied, &limits));
        plan.ops.iter().for_each(|op| applied.apply(op));
        (plan.ops.len(), looks)
    };
    let (three, four) = (Some(&old.services[first]), Some(&new.services[first]));
    [cost(four), cost(four), cost(None), cost(three)]
}

#[test]
fn a_change_costs_the_same_among_few_services_and_among_many() {
    let many = cost_among(44_000);
    assert_eq!(cost_among(20), many);
    let [added, same, gone, back] = many;
    assert_eq!((added.0, same), (3, (0, same.1)));
    assert!([added, same, gone, back].iter().all(|(_, looks)| *looks < 120), "{many:?}");
}

#[test]
fn slots_are_found_at_once_among_many_free_ones() {
    let cost = |number: u32| {
        let all = many_services(number, 0..3);
        let mut applied = Applied::default();
        advance(&all, &mut applied);
        // Every other service goes, and no slot is left that was never used.
        let (going, staying): (Vec<_>, Vec<_>) =
            all.services.iter().enumerate().partition(|(at, _)| at.is_multiple_of(2));
        let left = staying.into_iter().map(|(_, (key, port))| (key.clone(), port.clone()));
        let ops = follow(&all, &snapshot(left), &mut applied);
        assert!(ops.len() >= going.len());
        let limits = Limits { slots: 4 * number, ..limits() };
        let (plan, looks) =
            visits(|| plan(going.iter().take(10).map(|(_, (k, p))| (*k, Some(*p))), &applied, &limits));
        assert_eq!(plan.refused, []);
        looks
    };
    assert_eq!(cost(40), cost(4_000));
}
