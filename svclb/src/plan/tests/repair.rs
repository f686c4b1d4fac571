//! Tables that somebody else wrote to.

use svclb_common::service::{FrontendKind, Policy, Slab, Slot};

use super::{
    converge::assert_holds,
    kernel::Kernel,
    world::{address, advance, backend, cluster_ip, key, limits, snapshot},
};
use crate::{
    model::{Family, Protocol, ServicePort, Snapshot},
    plan::{Applied, CellEntry, Fault, FrontendEntry, FrontendKey, ListEntry, RawTables, Readback},
};

fn desired() -> Snapshot {
    let port = |number: u16| {
        let backends = (number..number + 3).map(|number| backend(Family::V4, number)).collect();
        ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
    };
    snapshot([(key(0), port(1)), (key(4), port(2))])
}

/// Breaks the IPv4 tables, repairs them, and returns what was found.
fn faults(damage: impl FnOnce(&mut RawTables)) -> Vec<Fault> {
    let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
    kernel.write_all(&advance(&desired(), &mut applied));
    damage(&mut kernel.raw.v4);
    let mut found = Readback::new(kernel.raw.clone(), &limits());
    kernel.write_all(found.repairs.iter().map(|repair| &repair.op));
    kernel.write_all(&advance(&desired(), &mut found.applied));
    assert_holds(&kernel, &desired());
    found.repairs.into_iter().map(|repair| repair.fault).collect()
}

#[test]
fn what_is_whole_is_left_alone() {
    assert_eq!(faults(|_| {}), []);
}

#[test]
fn frontends_that_lead_nowhere_go() {
    let frontend = |service| FrontendEntry { service, kind: FrontendKind::ClusterIp };
    let frontend_key = |protocol| FrontendKey { address: Some(address(Family::V4, 9, 9)), port: 1, protocol };
    let found = faults(|tables| {
        tables.frontends.insert(frontend_key(Protocol::Tcp), frontend(77));
        tables.frontends.insert(frontend_key(Protocol::Sctp), frontend(1));
    });
    assert_eq!(found, [Fault::DanglingFrontend; 2]);
}

#[test]
fn cells_without_a_name_are_emptied() {
    let found = faults(|tables| {
        tables.names.remove(&1);
    });
    assert_eq!(found, [Fault::DanglingFrontend, Fault::NamelessService(1)]);
}

#[test]
fn a_name_is_that_of_one_cell() {
    let found = faults(|tables| {
        let name = tables.names[&1].clone();
        tables.names.insert(2, name);
    });
    assert_eq!(found, [Fault::DanglingFrontend, Fault::ForeignName(2), Fault::ForeignName(2)]);
    let found = faults(|tables| tables.names.get_mut(&2).unwrap().family = Family::V6);
    assert_eq!(found, [Fault::DanglingFrontend, Fault::ForeignName(2), Fault::ForeignName(2)]);
}

#[test]
fn slots_belong_to_one_cell() {
    let set = |slab, capacity| {
        faults(move |tables: &mut RawTables| {
            tables.services.get_mut(&2).unwrap().lists[0] = ListEntry { slab, capacity };
        })
    };
    assert_eq!(set(Slab { base: 0, len: 1 }, 4), [Fault::ForeignSlots(2)]);
    assert_eq!(set(Slab { base: 4, len: 5 }, 4), [Fault::ForeignSlots(2)]);
    assert_eq!(set(Slab { base: u32::MAX, len: 1 }, 4), [Fault::ForeignSlots(2)]);
    assert_eq!(set(Slab { base: 1 << 21, len: 1 }, 4), [Fault::ForeignSlots(2)]);
}

#[test]
fn slots_in_use_lead_to_backends() {
    assert_eq!(faults(|tables| tables.slots[5] = Slot::default()), [Fault::DanglingSlot(2)]);
    assert_eq!(faults(|tables| tables.slots[5] = 77.into()), [Fault::DanglingSlot(2)]);
    assert_eq!(faults(|tables| tables.slots.truncate(5)), [Fault::DanglingSlot(2)]);
}

#[test]
fn a_backend_is_in_one_cell_and_on_a_node() {
    let found = faults(|tables| {
        let backend = tables.backends[&1];
        tables.backends.insert(50, backend);
    });
    assert_eq!(found, [Fault::SecondBackend(50)]);
    let found = faults(|tables| tables.backends.get_mut(&1).unwrap().flags.node = 9);
    assert_eq!(found, [Fault::UnknownNode(1)]);
}

#[test]
fn a_backend_twice_in_a_service_is_once_there_after_the_plan() {
    assert_eq!(faults(|tables| tables.slots[5] = tables.slots[4]), []);
}

#[test]
fn ranges_belong_to_a_service() {
    let found = faults(|tables| {
        tables.source_ranges.insert(9, ["192.0.2.0/24".parse().unwrap()].into());
    });
    assert_eq!(found, [Fault::DanglingRange(9)]);
}

#[test]
fn a_policy_without_a_name_goes() {
    let found = faults(|tables| {
        let policy = Policy { flags: 1, affinity: 0 };
        tables.services.insert(9, CellEntry { policy, ..CellEntry::default() });
    });
    assert_eq!(found, [Fault::NamelessService(9)]);
}

#[test]
fn policies_ranges_and_cluster_ips_of_another_hand_go_without_a_fault() {
    let found = faults(|tables| {
        tables.services.get_mut(&1).unwrap().policy = Policy { flags: 8, affinity: 7 };
        tables.source_ranges.insert(1, ["192.0.2.0/24".parse().unwrap()].into());
        tables.cluster_ips = [address(Family::V4, 5, 5)].into();
        tables.external_ips = [address(Family::V4, 5, 6)].into();
    });
    assert_eq!(found, []);
}

#[test]
fn a_udp_backend_has_one_owner() {
    let port = |number: u16| {
        let backends = [backend(Family::V4, 3)].into();
        ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
    };
    let desired = snapshot([(key(2), port(1)), (key(6), port(2))]);
    let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
    kernel.write_all(&advance(&desired, &mut applied));
    let slots = &mut kernel.raw.v4.slots;
    slots[4] = slots[0];
    let mut found = Readback::new(kernel.raw.clone(), &limits());
    kernel.write_all(found.repairs.iter().map(|repair| &repair.op));
    kernel.write_all(&advance(&desired, &mut found.applied));
    assert_eq!(found.repairs[0].fault, Fault::DanglingSlot(2));
    assert_holds(&kernel, &desired);
}

#[test]
fn a_node_has_one_number() {
    let mut kernel = Kernel::default();
    let mut applied = Applied::default();
    kernel.write_all(&advance(&desired(), &mut applied));
    kernel.raw.nodes.insert(7, "node".into());
    let found = Readback::new(kernel.raw.clone(), &limits());
    kernel.write_all(found.repairs.iter().map(|repair| &repair.op));
    assert_eq!(found.repairs[0].fault, Fault::SecondNode(7));
    assert_holds(&kernel, &desired());
}
