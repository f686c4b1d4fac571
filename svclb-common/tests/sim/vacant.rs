//! Addresses and ports of Services that no Service has.

use std::net::IpAddr;

use svclb_common::{
    balance::Place,
    config::SocketMode,
    socket::{Socket, SocketVerdict, towards},
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    ACK, FAR, FIN, NODE, Net, OUTSIDE, POD, POD_IN, POD_OUT, RST, SYN, UPLINK_IN, UPLINK_OUT, VIP, Verdict,
    World, at, everywhere, open, reply, untouched,
};

/// A Service at `VIP`:80 in a range of 256 addresses, which begins at `VIPS`.
const VIPS: u16 = 0x3000;
const TAKEN: u16 = VIPS + 7;

/// Length of a prefix that leaves `bits` bits.
fn len<F: Net>(bits: u32) -> u32 {
    if F::AF == 2 { 32 - bits } else { 128 - bits }
}

fn world<F: Net>(transport: Transport) -> World<F> {
    let mut world = World::<F>::new();
    world.serve(transport, at::<F>(TAKEN, 80), &[at::<F>(FAR, 8080)]);
    world.add_cluster_ip(F::host(TAKEN), len::<F>(4));
    world.add_service_cidr(F::host(VIPS + 0x200), len::<F>(0));
    world.add_service_cidr(F::host(VIPS), len::<F>(8));
    world
}

const UNKNOWN: Verdict = Verdict::Refused(DropReason::UnknownPort);
const UNALLOCATED: Verdict = Verdict::Dropped(DropReason::UnallocatedVip);

everywhere! {
    fn what_is_new_to_a_vacant_address<F>(transport) {
        let world = world::<F>(transport);
        let table = [
            (TAKEN, 81, UNKNOWN),
            (TAKEN + 1, 80, UNALLOCATED),
            (VIPS, 80, UNALLOCATED),
            (VIPS + 255, 80, UNALLOCATED),
            (VIPS + 256, 80, Verdict::NotOurs),
            (VIPS - 1, 80, Verdict::NotOurs),
            (VIPS + 0x200, 80, UNALLOCATED),
            (VIPS + 0x201, 80, Verdict::NotOurs),
            (FAR, 80, Verdict::NotOurs),
        ];
        for (host, port, verdict) in table {
            for (client, place) in [(POD, POD_IN), (OUTSIDE, UPLINK_IN), (NODE, UPLINK_OUT)] {
                let packet = open(transport, at::<F>(client, 40000), at::<F>(host, port));
                assert_eq!(world.send(place, &packet), untouched(verdict, &packet), "{host} {port} {place:?}");
            }
            for (client, place) in [(POD, POD_OUT), (POD, UPLINK_OUT)] {
                let packet = open(transport, at::<F>(client, 40000), at::<F>(host, port));
                assert_eq!(world.send(place, &packet), untouched(Verdict::NotOurs, &packet));
            }
        }
    }

    fn where_sockets_are_translated_the_nodes_packets_are_not_asked_about<F>(transport) {
        let world = world::<F>(transport).with_sockets(SocketMode::Host);
        let packet = open(transport, at::<F>(NODE, 40000), at::<F>(VIPS, 80));
        // SCTP sockets are not translated: their packets are all there is.
        let is_asked = transport == Transport::Sctp;
        let verdict =
            if is_asked { UNALLOCATED } else { Verdict::NotOurs };
        assert_eq!(world.send(UPLINK_OUT, &packet), untouched(verdict, &packet));
    }

    fn nothing_is_vacant_where_no_range_is_known<F>(transport) {
        let world = World::<F>::new();
        for host in [0, VIP] {
            let packet = open(transport, at::<F>(POD, 40000), at::<F>(host, 80));
            assert_eq!(world.send(POD_IN, &packet), untouched(Verdict::NotOurs, &packet));
        }
    }

    fn a_range_that_is_gone_does_not_count<F>(transport) {
        let mut world = world::<F>(transport);
        let packet = open(transport, at::<F>(POD, 40000), at::<F>(VIPS, 80));
        assert_eq!(world.send(POD_IN, &packet), untouched(UNALLOCATED, &packet));
        world.remove_service_cidr();
        assert_eq!(world.send(POD_IN, &packet), untouched(Verdict::NotOurs, &packet));
    }

    /// A flow outlives its Service's address.
    fn a_flow_is_not_new<F>(transport) {
        let mut world = world::<F>(transport);
        let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(TAKEN, 80), at::<F>(FAR, 8080));
        world.send(POD_IN, &open(transport, client, vip));
        world.send(POD_OUT, &reply(transport, backend, client));
        world.send(POD_IN, &crate::world::next(transport, client, vip));
        world.remove_frontend(transport, vip);
        let packet = crate::world::next(transport, client, vip);
        assert!(matches!(world.send(POD_IN, &packet).verdict, Verdict::Translated(..)));
        let other = open(transport, at::<F>(POD, 40001), vip);
        assert_eq!(world.send(POD_IN, &other), untouched(UNKNOWN, &other));
    }

    fn at_a_socket<F>(transport) {
        let world = world::<F>(transport).with_sockets(SocketMode::All);
        for (in_host, unconnected) in [(true, true), (true, false), (false, true), (false, false)] {
            let fails = |reason| match (transport, unconnected) {
                // To connect is not to send.
                (Transport::Udp, false) => SocketVerdict::Keep,
                _ => SocketVerdict::Fail(reason),
            };
            let unallocated = if in_host { fails(DropReason::UnallocatedVip) } else { SocketVerdict::Keep };
            for (host, port, right) in [
                (TAKEN, 81, fails(DropReason::UnknownPort)),
                (VIPS, 80, unallocated),
                (VIPS + 256, 80, SocketVerdict::Keep),
                (FAR, 80, SocketVerdict::Keep),
            ] {
                let socket = Socket { cookie: 1, in_host, transport, port: 0, unconnected, connected: false };
                let ip: IpAddr = F::host(host);
                assert_eq!(towards(&world, socket, F::addr(ip), u16::to_be(port)), right);
            }
        }
    }
}

/// TCP opens by a SYN; anything else is an answer or a stray.
fn only_a_syn_is_new<F: Net>(place: Place, client: u16) {
    let world = world::<F>(Transport::Tcp);
    for flags in [SYN | ACK, ACK, RST, RST | ACK, FIN | ACK, SYN | RST, 0] {
        for host in [TAKEN, VIPS] {
            let packet = open(Transport::Tcp, at::<F>(client, 40000), at::<F>(host, 81)).with(flags);
            assert_eq!(world.send(place, &packet), untouched(Verdict::NotOurs, &packet), "{flags:#b}");
        }
    }
}

#[test]
fn only_a_syn_is_new_v4() {
    only_a_syn_is_new::<svclb_common::family::V4>(POD_IN, POD);
    only_a_syn_is_new::<svclb_common::family::V4>(UPLINK_IN, OUTSIDE);
}

#[test]
fn only_a_syn_is_new_v6() {
    only_a_syn_is_new::<svclb_common::family::V6>(POD_IN, POD);
    only_a_syn_is_new::<svclb_common::family::V6>(UPLINK_IN, OUTSIDE);
}
