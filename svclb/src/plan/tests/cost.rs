//! A change costs writes in proportion to itself.

use svclb_common::service::Slab;

use super::world::{advance, backend, cluster_ip, key, snapshot};
use crate::{
    model::{Backend, Family, Frontend, ServicePort, ServicePortKey, Snapshot},
    plan::{Applied, MapOp, TableOp},
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
        let key = ServicePortKey { port_name: format!("p{port}"), ..key(0) };
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
    let op = TableOp::SetSlab { service: 1, slab: Slab { base: 4, len: 5 }, capacity: 8 };
    assert_eq!(ops.last(), Some(&MapOp::Table { family: Family::V4, op }));
}

#[test]
fn a_slab_that_is_nearly_empty_is_given_back() {
    let mut applied = Applied::default();
    advance(&one_service(0..5000), &mut applied);
    let capacity = |applied: &Applied| applied.tables(Family::V4).service(1).unwrap().capacity;
    assert_eq!(capacity(&applied), 8192);
    advance(&one_service(0..1025), &mut applied);
    assert_eq!(capacity(&applied), 8192);
    advance(&one_service(0..1024), &mut applied);
    assert_eq!(capacity(&applied), 1024);
}

#[test]
fn a_dead_backend_is_led_to_no_more_before_anything_else_is_written() {
    let port = |number: u16, members: std::ops::Range<u16>| {
        let backends = members.map(|number| backend(Family::V4, number)).collect();
        ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
    };
    let mut applied = Applied::default();
    advance(&snapshot([(key(4), port(1, 0..3))]), &mut applied);
    let ops = advance(&snapshot([(key(0), port(2, 5..9)), (key(4), port(1, 0..2))]), &mut applied);
    assert!(matches!(ops[0], MapOp::Table { op: TableOp::SetSlab { .. }, .. }));
}
