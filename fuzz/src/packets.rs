//! Packets, one after the other, through the datapath's logic on a simulated node, guided by
//! what of it they reach.
//!
//! An input is a number of frames, each with a byte that says where and when it comes, and a
//! byte that says how long it is. Tables keep what earlier frames left in them, so that answers,
//! repetitions and ends of flows are found as well.
#![no_main]

mod judge;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the node of the tests; not all of it serves here"
)]
#[path = "../../svclb-common/tests/sim/world/mod.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use svclb_common::{
    balance::Place,
    family::{Family as _, V4, V6},
    wire::Transport,
};
use world::{
    FAR, LO_OUT, Net, PEER, POD, POD_IN, POD_OUT, SECOND, UPLINK_IN, UPLINK_OUT, VIP, Verdict, World, at,
};

/// Where a frame comes from, by the lowest bits of its byte.
const PLACES: [Place; 8] = [POD_IN, POD_OUT, UPLINK_IN, UPLINK_OUT, POD_IN, UPLINK_IN, LO_OUT, POD_OUT];

/// A node with a Service of every kind of backend, for each protocol.
fn node<F: Net>() -> World<F> {
    let mut world = World::<F>::new();
    for transport in Transport::ALL {
        let ends = [(FAR, false), (PEER, true), (POD, true)];
        let backends = ends.map(|(host, local)| world.add_backend(transport, at::<F>(host, 8080), local));
        let service = world.add_service(&backends);
        world.add_frontend(transport, at::<F>(VIP, 80), service);
        world.add_node_port(transport, 30080, service);
        let nobody = world.add_service(&[]);
        world.add_frontend(transport, at::<F>(VIP + 1, 80), nobody);
    }
    world.add_cluster_ip(F::host(VIP), if F::AF == V4::AF { 32 } else { 128 });
    world
}

/// One frame through one program: what is not translated stays as it is, and what was right
/// is right afterwards.
fn pass<F: Net>(world: &World<F>, place: Place, frame: &[u8]) {
    let after = world.pass(place, frame);
    assert_eq!(after.frame.len(), frame.len());
    match after.verdict {
        Verdict::Translated(..) => {
            assert!(judge::is_right(&after.frame) || !judge::is_right(frame), "{:02x?}", after.frame);
        }
        _ => assert_eq!(after.frame, frame),
    }
}

fuzz_target!(|input: &[u8]| {
    let (v4, v6) = (node::<V4>(), node::<V6>());
    let mut rest = input;
    while let [how, len, tail @ ..] = rest {
        let (frame, next) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = next;
        let place = PLACES[usize::from(how & 7)];
        // The rest of the byte is time: up to a minute in a frame.
        let wait = u64::from(how >> 3) * 2 * SECOND;
        v4.wait(wait);
        v6.wait(wait);
        match frame.get(12..14) {
            Some([0x08, 0x00]) => pass(&v4, place, frame),
            Some([0x86, 0xdd]) => pass(&v6, place, frame),
            _ => {}
        }
    }
});
