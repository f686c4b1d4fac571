//! What following a cluster costs the agent, as far as it does not depend on the machine: allocations and bytes.

mod cluster;

use allocation_counter::measure;
use svclb_tests::control_plane::shape::Shape;

use self::cluster::{Cluster, changes};

/// Changes of one measurement: as many as it takes for B-trees that split now and then to make no difference.
const CHANGES: u32 = 60;

fn shape(services: u32, endpoints: u32) -> Shape {
    Shape { name: "cost", services, endpoints, pods: services * endpoints }
}

/// One that has made the tables hold all of `shape`.
fn loaded(shape: &Shape) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.hear(&changes(shape.objects()));
    cluster.program_all();
    cluster
}

/// Allocations for a slice of which one endpoint moves, from its text to what is remembered of the writes.
fn allocations_of_a_change(shape: &Shape) -> u64 {
    let mut cluster = loaded(shape);
    let slices: Vec<_> = (0..CHANGES)
        .map(|step| shape.slices(step * 7919 % shape.services, &[0]).remove(0).to_string())
        .collect();
    let mut writes = 0;
    let info = measure(|| writes = slices.iter().map(|slice| cluster.follow(slice)).sum());
    // The new cell, the slot that leads there, and the cell that was given up.
    assert_eq!(writes, 3 * CHANGES as usize);
    info.count_total / u64::from(CHANGES)
}

#[test]
fn a_change_allocates_as_much_among_ten_thousand_services_as_among_a_thousand() {
    for (endpoints, most) in [(2, 160), (10, 380)] {
        let [few, many] =
            [1_000, 10_000].map(|services| allocations_of_a_change(&shape(services, endpoints)));
        assert!(few.abs_diff(many) <= 2, "{endpoints} endpoints: {few} and {many}");
        assert!(many <= most, "{endpoints} endpoints: {many}");
    }
}

#[test]
fn a_service_of_two_endpoints_takes_less_than_two_thousand_bytes() {
    const SERVICES: u32 = 10_000;
    for (endpoints, most) in [(2, 2_000), (10, 4_000)] {
        let changes = changes(shape(SERVICES, endpoints).objects());
        let mut cluster = Cluster::default();
        let info = measure(|| {
            cluster.hear(&changes);
            cluster.program_all();
            cluster.compact();
        });
        let bytes = info.bytes_current / i64::from(SERVICES);
        assert!(bytes <= most, "{endpoints} endpoints: {bytes}");
    }
}
