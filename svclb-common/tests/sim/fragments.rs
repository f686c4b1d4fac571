//! Datagrams that come in fragments.

use proptest::{collection::vec, prelude::*, sample::Index};
use svclb_common::{
    family::{Family as _, V4, V6},
    flow::Action,
    verdict::DropReason,
    wire::Transport,
};

use crate::{
    refuse::refuse,
    world::{
        FAR, FAR2, LO_OUT, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, SECOND, Sketch, UPLINK_IN,
        UPLINK_OUT, VIP, VIP2, Verdict, World, at, cut, ends, families, join, open, verify, with_sums,
    },
};

const UNKNOWN: Verdict = Verdict::Dropped(DropReason::UnknownFragment);

/// A packet that fills several fragments of `UNITS`.
fn large<F: Net>(transport: Transport, client: u16, vip: u16) -> Sketch {
    let payload = (0..100_u8).collect();
    Sketch { payload, ..open(transport, at::<F>(client, 40000), at::<F>(vip, 80)) }
}

/// Sizes of the first fragments, enough for TCP's header.
const UNITS: [usize; 3] = [3, 4, 3];

/// A `ClusterIP` with one backend.
fn world<F: Net>(transport: Transport) -> World<F> {
    let mut world = World::new();
    world.serve(transport, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
    world.add_cluster_ip(F::host(VIP), 8);
    world
}

/// Sends fragments that all must be translated.
fn through<F: Net>(world: &World<F>, place: crate::world::Place, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let sent = pieces.iter().map(|piece| {
        let after = world.pass(place, piece);
        assert!(matches!(after.verdict, Verdict::Translated(..)), "{:?}", after.verdict);
        assert_eq!(after.frame.len(), piece.len());
        after.frame
    });
    sent.collect()
}

#[track_caller]
fn assert_untouched<F: Net>(world: &World<F>, place: crate::world::Place, piece: &[u8], verdict: Verdict) {
    let after = world.pass(place, piece);
    assert_eq!(after.verdict, verdict);
    assert_eq!(after.frame, piece);
}

with_sums! {
    /// Whatever order the later ones come in, twice or once.
    fn fragments_follow_the_first<F>(transport) {
        let whole = large::<F>(transport, POD, VIP).build();
        let pieces = cut(&whole, 7, &UNITS);
        let orders = [[0, 1, 2, 3], [0, 1, 3, 2], [0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2], [0, 3, 2, 1]];
        for order in orders {
            let world = world::<F>(transport);
            let shuffled: Vec<_> = order.iter().map(|at| pieces[*at].clone()).collect();
            let sent = through(&world, POD_IN, &shuffled);
            let joined = join(&sent);
            verify(&joined);
            assert_eq!(ends(&joined), (at::<F>(POD, 40000), at::<F>(FAR, 8080)));
            assert!(joined == world.pass(POD_IN, &whole).frame);
            through(&world, POD_IN, &shuffled[1..]);
        }
    }

    fn one_that_comes_before_the_first_goes_nowhere<F>(transport) {
        let world = world::<F>(transport);
        let pieces = cut(&large::<F>(transport, POD, VIP).build(), 7, &UNITS);
        for piece in &pieces[1..] {
            assert_untouched(&world, POD_IN, piece, UNKNOWN);
            assert_untouched(&world, UPLINK_IN, piece, UNKNOWN);
            // At these hooks nobody translates towards Services.
            assert_untouched(&world, POD_OUT, piece, Verdict::NotOurs);
        }
        through(&world, POD_IN, &pieces);
    }

    fn one_that_is_to_no_service_is_the_stacks<F>(transport) {
        let mut world = world::<F>(transport);
        let id = world.add_backend(transport, at::<F>(FAR, 8080), false);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        for (host, port) in [(PEER, 80), (NODE, 30080), (NODE, 22)] {
            let packet = Sketch { dst: at::<F>(host, port), ..large::<F>(transport, POD, VIP) };
            for piece in &cut(&packet.build(), 7, &UNITS)[1..] {
                assert_untouched(&world, POD_IN, piece, Verdict::NotOurs);
                assert_untouched(&world, UPLINK_IN, piece, Verdict::NotOurs);
            }
        }
    }

    fn first_fragments_to_no_service_are_not_remembered<F>(transport) {
        let world = world::<F>(transport);
        for piece in cut(&large::<F>(transport, POD, PEER).build(), 7, &UNITS) {
            assert_untouched(&world, POD_IN, &piece, Verdict::NotOurs);
        }
        assert_eq!(world.fragments.len(), 0);
    }

    /// RFC 791: an identification is its sender's own, and one per receiver and protocol.
    fn equal_identifications_are_told_apart<F>(transport) {
        let mut world = world::<F>(transport);
        world.serve(transport, at::<F>(VIP2, 80), &[at::<F>(FAR2, 8080)]);
        let flows = [(POD, VIP, FAR), (PEER, VIP, FAR), (POD, VIP2, FAR2)];
        let cuts = flows.map(|(client, vip, _)| {
            cut(&large::<F>(transport, client, vip).build(), 7, &UNITS)
        });
        let mut sent = [const { Vec::new() }; 3];
        for at in 0..cuts[0].len() {
            for (pieces, sent) in cuts.iter().zip(&mut sent) {
                sent.extend(through(&world, POD_IN, &pieces[at..=at]));
            }
        }
        for ((client, _, backend), sent) in flows.into_iter().zip(sent) {
            let joined = join(&sent);
            verify(&joined);
            assert_eq!(ends(&joined), (at::<F>(client, 40000), at::<F>(backend, 8080)));
        }
    }

    fn identifications_of_one_sender_may_interleave<F>(transport) {
        let world = world::<F>(transport);
        let packets = [40000, 40001].map(|port| Sketch {
            src: at::<F>(POD, port),
            ..large::<F>(transport, POD, VIP)
        });
        let [one, two] = [(0, 7), (1, 8)].map(|(at, id)| cut(&packets[at].build(), id, &UNITS));
        let mut sent = [Vec::new(), Vec::new()];
        for (a, b) in one.iter().zip(&two) {
            sent[0].extend(through(&world, POD_IN, std::slice::from_ref(a)));
            sent[1].extend(through(&world, POD_IN, std::slice::from_ref(b)));
        }
        for (packet, sent) in packets.iter().zip(&sent) {
            assert_eq!(ends(&join(sent)), (packet.src, at::<F>(FAR, 8080)));
        }
    }

    fn answers_come_in_fragments_as_well<F>(transport) {
        for (client, there, back) in [(POD, POD_IN, POD_OUT), (OUTSIDE, UPLINK_IN, UPLINK_IN)] {
            let world = world::<F>(transport);
            let packet = large::<F>(transport, client, VIP);
            let (src, backend) = ends(&join(&through(&world, there, &cut(&packet.build(), 7, &UNITS))));
            let answer = Sketch { src: backend, dst: src, ..packet.clone() };
            let sent = join(&through(&world, back, &cut(&answer.build(), 9, &UNITS)));
            verify(&sent);
            assert_eq!(ends(&sent), (packet.dst, packet.src));
            // Without a first one they are the stack's, which reassembles nothing.
            for piece in &cut(&answer.build(), 10, &UNITS)[1..] {
                assert_untouched(&world, back, piece, Verdict::NotOurs);
            }
        }
    }

    fn every_fragment_goes_the_same_way<F>(transport) {
        let world = world::<F>(transport);
        let ways = [(POD, POD_IN, Action::Pass), (OUTSIDE, UPLINK_IN, Action::Forward), (NODE, UPLINK_OUT, Action::Forward)];
        for (client, place, action) in ways {
            for piece in cut(&large::<F>(transport, client, VIP).build(), 7, &UNITS) {
                assert_eq!(world.pass(place, &piece).verdict, Verdict::Translated(action, 0));
            }
        }
    }

    fn a_process_of_the_node_reaches_the_node<F>(transport) {
        let mut world = world::<F>(transport);
        let vip = at::<F>(VIP2, 80);
        world.serve(transport, vip, &[at::<F>(NODE, 8080)]);
        for (place, action, device) in [(UPLINK_OUT, Action::Deliver, 1), (LO_OUT, Action::Pass, 0)] {
            for piece in cut(&large::<F>(transport, NODE, VIP2).build(), 7, &UNITS) {
                assert_eq!(world.pass(place, &piece).verdict, Verdict::Translated(action, device));
            }
            world.flows.clear();
            world.half_open.clear();
        }
    }

    fn an_old_identification_is_another_datagrams<F>(transport) {
        let patience = if F::AF == V4::AF { 30 } else { 60 };
        let world = world::<F>(transport);
        let pieces = cut(&large::<F>(transport, POD, VIP).build(), 7, &UNITS);
        through(&world, POD_IN, &pieces[..1]);
        world.wait(patience * SECOND);
        through(&world, POD_IN, &pieces[1..]);
        world.wait(1);
        for piece in &pieces[1..] {
            assert_untouched(&world, POD_IN, piece, UNKNOWN);
        }
        through(&world, POD_IN, &pieces);
    }

    fn a_first_fragment_takes_the_place_of_another<F>(transport) {
        let mut world = world::<F>(transport);
        world.add_frontend(transport, at::<F>(VIP, 81), 1);
        let first = large::<F>(transport, POD, VIP);
        let second = Sketch { src: at::<F>(POD, 40001), ..first.clone() };
        through(&world, POD_IN, &cut(&first.build(), 7, &UNITS));
        let joined = join(&through(&world, POD_IN, &cut(&second.build(), 7, &UNITS)));
        verify(&joined);
        assert_eq!(ends(&joined).0, second.src);
    }

    fn without_the_flow_there_is_nothing_to_follow<F>(transport) {
        let world = world::<F>(transport);
        let pieces = cut(&large::<F>(transport, POD, VIP).build(), 7, &UNITS);
        through(&world, POD_IN, &pieces);
        world.flows.clear();
        world.half_open.clear();
        for piece in &pieces[1..] {
            assert_untouched(&world, POD_IN, piece, UNKNOWN);
        }
    }

    /// RFC 1858, RFC 7112: the whole transport header is in the first fragment, or nobody
    /// knows what the datagram is.
    fn a_first_fragment_without_its_header_tells_nothing<F>(transport) {
        let mut world = world::<F>(transport);
        let mut packet = large::<F>(transport, POD, VIP);
        let header = if transport == Transport::Tcp { 20 } else { 8 };
        let whole = cut(&packet.build(), 7, &[header_units(header)]);
        through(&world, POD_IN, &whole);
        let stubs = if transport == Transport::Tcp { &[1, 2][..] } else { &[] };
        for units in stubs {
            let pieces = cut(&packet.build(), 7, &[*units]);
            assert_untouched(&world, POD_IN, &pieces[0], UNKNOWN);
        }
        packet.dst = at::<F>(PEER, 80);
        world.add_local(F::host(PEER), 1);
        for units in stubs {
            assert_untouched(&world, POD_IN, &cut(&packet.build(), 7, &[*units])[0], Verdict::NotOurs);
        }
    }

    /// A datagram is refused once; a segment in fragments is not, for nobody knows its length.
    fn a_refused_datagram_is_refused_once<F>(transport) {
        let mut world = world::<F>(transport);
        world.serve(transport, at::<F>(VIP2, 80), &[]);
        world.add_cluster_ip(F::host(VIP2), 8);
        let pieces = cut(&large::<F>(transport, POD, VIP2).build(), 7, &UNITS);
        assert_untouched(&world, POD_IN, &pieces[0], Verdict::Refused(DropReason::NoBackend));
        assert_eq!(refuse::<F>(&pieces[0]).is_some(), transport == Transport::Udp);
        for piece in &pieces[1..] {
            assert_untouched(&world, POD_IN, piece, UNKNOWN);
            assert_eq!(refuse::<F>(piece), None);
        }
    }

    fn an_address_that_no_service_has<F>(transport) {
        let mut world = world::<F>(transport);
        world.add_service_cidr(F::host(VIP2), if F::AF == V4::AF { 32 } else { 128 });
        let pieces = cut(&large::<F>(transport, POD, VIP2).build(), 7, &UNITS);
        for piece in &pieces[1..] {
            assert_untouched(&world, POD_IN, piece, Verdict::Dropped(DropReason::UnallocatedVip));
        }
    }
}

fn header_units(header: usize) -> usize {
    header.div_ceil(8)
}

families! {
    /// The node's own stack reassembles what is sent to an address that it has.
    fn one_to_an_external_address_goes_nowhere_without_its_first<F>() {
        let mut world = World::<F>::new();
        world.serve(Transport::Udp, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
        world.external_ips.extend([VIP, NODE].map(|host| F::addr(F::host(host))));
        let pieces = cut(&large::<F>(Transport::Udp, OUTSIDE, VIP).build(), 7, &UNITS);
        for piece in &pieces[1..] {
            assert_untouched(&world, UPLINK_IN, piece, UNKNOWN);
            assert_untouched(&world, POD_IN, piece, UNKNOWN);
        }
        through(&world, UPLINK_IN, &pieces);
        for piece in &cut(&large::<F>(Transport::Udp, OUTSIDE, NODE).build(), 7, &UNITS)[1..] {
            assert_untouched(&world, UPLINK_IN, piece, Verdict::NotOurs);
        }
    }

    /// The CRC changes with the length of the whole packet, which only the last fragment tells.
    fn sctp_in_fragments_goes_nowhere<F>() {
        let world = world::<F>(Transport::Sctp);
        for piece in cut(&large::<F>(Transport::Sctp, POD, VIP).build(), 7, &UNITS) {
            assert_untouched(&world, POD_IN, &piece, UNKNOWN);
        }
        for piece in cut(&large::<F>(Transport::Sctp, POD, PEER).build(), 7, &UNITS) {
            assert_untouched(&world, POD_IN, &piece, Verdict::NotOurs);
        }
        assert_eq!(world.fragments.len(), 0);
    }

    /// RFC 768: no checksum stays no checksum, whatever the first data bytes of a later fragment are.
    fn a_later_fragment_is_all_data<F>() {
        let world = world::<F>(Transport::Udp);
        let pieces = cut(&large::<F>(Transport::Udp, POD, VIP).build(), 7, &UNITS);
        let sent = through(&world, POD_IN, &pieces);
        for (before, after) in pieces.iter().zip(&sent).skip(1) {
            let data = before.len() - 16;
            assert_eq!(before[data..], after[data..]);
        }
    }
}

/// There and back, in any pieces and in any order behind the first.
fn there_and_back<F: Net>(transport: Transport, payload: &[u8], units: &[usize], order: &[Index], id: u16) {
    for (client, there, back) in [(POD, POD_IN, POD_OUT), (OUTSIDE, UPLINK_IN, UPLINK_IN)] {
        let world = world::<F>(transport);
        let mut packet = Sketch { payload: payload.to_vec(), ..large::<F>(transport, client, VIP) };
        for place in [there, back] {
            let whole = packet.build();
            let mut pieces = cut(&whole, id, units);
            for (at, other) in order.iter().enumerate().take(pieces.len()).skip(1) {
                let other = 1 + other.index(pieces.len() - 1);
                pieces.swap(at, other);
            }
            let joined = if pieces.len() == 1 {
                world.pass(place, &whole).frame
            } else {
                join(&through(&world, place, &pieces))
            };
            verify(&joined);
            assert!(joined == world.pass(place, &whole).frame, "not as the whole datagram");
            let (src, dst) = ends(&joined);
            packet = Sketch { src: dst, dst: src, ..packet };
        }
        assert_eq!((packet.src, packet.dst), (at::<F>(client, 40000), at::<F>(VIP, 80)));
    }
}

proptest! {
    #[test]
    fn any_datagram_in_any_pieces_reassembles_to_what_the_whole_becomes(
        tcp: bool, payload in vec(any::<u8>(), 0..3000), first in 3_usize..100,
        rest in vec(1_usize..100, 0..12), order in vec(any::<Index>(), 12), id: u16,
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let units = [vec![first], rest].concat();
        there_and_back::<V4>(transport, &payload, &units, &order, id);
        there_and_back::<V6>(transport, &payload, &units, &order, id);
    }
}
