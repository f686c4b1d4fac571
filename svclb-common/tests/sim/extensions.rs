//! What stands between an IP header and the transport's: IPv6 extension headers, IPv4 options.

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    family::{V4, V6},
    packet::Unparsed,
    wire::Transport,
};

use crate::{
    refuse::refuse,
    world::{
        Extension, FAR, OUTSIDE, POD, POD_IN, POD_OUT, Sketch, UPLINK_IN, VIP, Verdict, World, at, atomic,
        cut, ends, extend, open, options, routing, verify,
    },
};

const HOP_BY_HOP: u8 = 0;
const DESTINATION: u8 = 60;

fn world(transport: Transport) -> World<V6> {
    let mut world = World::new();
    world.serve(transport, at::<V6>(VIP, 80), &[at::<V6>(FAR, 8080)]);
    world
}

fn client(transport: Transport) -> Sketch {
    Sketch { payload: b"hello".to_vec(), ..open(transport, at::<V6>(POD, 40000), at::<V6>(VIP, 80)) }
}

/// What becomes of a packet with that chain is what becomes of one without, and the chain.
fn assert_stepped_over(chain: &[Extension]) {
    for transport in Transport::ALL {
        for (host, there, back) in [(POD, POD_IN, POD_OUT), (OUTSIDE, UPLINK_IN, UPLINK_IN)] {
            let world = world(transport);
            let mut packet = Sketch { src: at::<V6>(host, 40000), ..client(transport) };
            for place in [there, back] {
                let extended = world.pass(place, &extend(&packet.build(), chain));
                assert!(
                    matches!(extended.verdict, Verdict::Translated(..)),
                    "{chain:?}: {:?}",
                    extended.verdict
                );
                let plain = world.pass(place, &packet.build());
                assert_eq!(extended.verdict, plain.verdict);
                assert_eq!(extended.frame, extend(&plain.frame, chain));
                let (src, dst) = ends(&plain.frame);
                packet = Sketch { src: dst, dst: src, ..packet };
            }
        }
    }
}

fn assert_alone(frame: &[u8], why: Unparsed) {
    let mut world = world(Transport::Udp);
    world.serve(Transport::Tcp, at::<V6>(VIP, 80), &[at::<V6>(FAR, 8080)]);
    for place in [POD_IN, UPLINK_IN] {
        let after = world.pass(place, frame);
        assert_eq!(after.verdict, Verdict::Unparsed(why));
        assert_eq!(after.frame, frame);
    }
}

#[test]
fn extension_headers_are_stepped_over_and_kept() {
    for chain in [
        vec![options(HOP_BY_HOP, 1)],
        vec![options(DESTINATION, 1)],
        vec![routing(0)],
        vec![atomic(7)],
        vec![options(HOP_BY_HOP, 2), options(DESTINATION, 3), routing(0), atomic(7), options(DESTINATION, 1)],
        vec![options(HOP_BY_HOP, 32)],
    ] {
        assert_stepped_over(&chain);
    }
}

/// RFC 8200 section 4.4: the packet is to go on to another address, whose checksum it has.
#[test]
fn a_routing_header_with_segments_left_is_the_stacks() {
    let frame = extend(&client(Transport::Tcp).build(), &[options(HOP_BY_HOP, 1), routing(1)]);
    assert_alone(&frame, Unparsed::Foreign);
}

#[test]
fn chains_beyond_the_bounds_are_the_stacks() {
    let frame = client(Transport::Udp).build();
    assert_alone(&extend(&frame, &[options(HOP_BY_HOP, 32), options(DESTINATION, 1)]), Unparsed::Foreign);
    let seven: Vec<_> = (0..7).map(|_| options(DESTINATION, 1)).collect();
    assert_alone(&extend(&frame, &seven), Unparsed::Foreign);
    assert_stepped_over(&seven[1..]);
}

/// Security headers, no next header, misplaced hop-by-hop options, a fragment of a fragment.
#[test]
fn what_is_no_transport_behind_extensions_is_the_stacks() {
    let frame = client(Transport::Udp).build();
    for number in [50, 51, 59, 58, 132, 135] {
        let mut other = extend(&frame, &[options(DESTINATION, 1)]);
        other[54] = number;
        assert_alone(&other, Unparsed::Foreign);
    }
    assert_alone(&extend(&frame, &[routing(0), options(HOP_BY_HOP, 1)]), Unparsed::Foreign);
}

#[test]
fn a_chain_that_ends_early() {
    let chain = [options(HOP_BY_HOP, 1), atomic(7), options(DESTINATION, 2)];
    let frame = extend(&client(Transport::Tcp).build(), &chain);
    let headers = 54 + 8 + 8 + 16 + 20;
    for len in 54..headers {
        assert_alone(&frame[..len], Unparsed::Short);
    }
}

/// Extension headers before and behind the fragment header.
#[test]
fn fragments_with_extension_headers() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let world = world(transport);
        let packet = Sketch { payload: vec![7; 100], ..client(transport) };
        let behind = extend(&packet.build(), &[options(DESTINATION, 1)]);
        let before = [options(HOP_BY_HOP, 1), routing(0)];
        let pieces = cut(&behind, 7, &[5, 2, 2]);
        let whole = world.pass(POD_IN, &behind).frame;
        for (piece, expected) in pieces.iter().zip(cut(&whole, 7, &[5, 2, 2])) {
            let after = world.pass(POD_IN, &extend(piece, &before));
            assert!(matches!(after.verdict, Verdict::Translated(..)), "{:?}", after.verdict);
            assert_eq!(after.frame, extend(&expected, &before));
        }
    }
}

fn chains() -> impl Strategy<Value = Vec<Extension>> {
    let extension = prop_oneof![
        (1_u8..5).prop_map(|units| options(DESTINATION, units)),
        Just(routing(0)),
        any::<u32>().prop_map(atomic),
    ];
    (proptest::option::of((1_u8..5).prop_map(|units| options(HOP_BY_HOP, units))), vec(extension, 0..6))
        .prop_map(|(first, rest)| {
            let mut chain: Vec<_> = first.into_iter().chain(rest).take(6).collect();
            let mut fragments = 0;
            chain.retain(|(number, _)| {
                fragments += u32::from(*number == 44);
                *number != 44 || fragments == 1
            });
            chain
        })
}

proptest! {
    #[test]
    fn any_chain_within_the_bounds_is_stepped_over(chain in chains()) {
        assert_stepped_over(&chain);
    }

    #[test]
    fn any_bytes_behind_the_header_are_survived(bytes in vec(any::<u8>(), 0..400), next in 0_u8..61) {
        let mut frame = client(Transport::Udp).build();
        frame.truncate(54);
        frame[20] = next;
        frame.extend(bytes);
        let world = world(Transport::Udp);
        let after = world.pass(POD_IN, &frame);
        prop_assert_eq!(after.frame.len(), frame.len());
        if !matches!(after.verdict, Verdict::Translated(..)) {
            prop_assert_eq!(after.frame, frame);
        }
    }
}

/// RFC 791: a source route names other destinations. Linux drops such packets unless told otherwise.
#[test]
fn ipv4_source_routes_are_the_stacks() {
    let mut world = World::<V4>::new();
    world.serve(Transport::Tcp, at::<V4>(VIP, 80), &[at::<V4>(FAR, 8080)]);
    let packet = |options: &[u8]| Sketch {
        options: options.to_vec(),
        ..open(Transport::Tcp, at::<V4>(POD, 40000), at::<V4>(VIP, 80))
    };
    for kind in [131, 137] {
        for options in
            [[kind, 7, 4, 10, 0, 0, 9, 0], [1, kind, 7, 4, 10, 0, 0, 9], [148, 4, 0, 0, kind, 3, 4, 0]]
        {
            let sent = world.send(POD_IN, &packet(&options));
            assert_eq!(sent.verdict, Verdict::Unparsed(Unparsed::Foreign));
        }
    }
    // The same numbers as data, behind the end, and in a list that breaks off.
    for options in
        [[7, 7, 4, 131, 137, 131, 137, 0], [0, 131, 7, 4, 0, 0, 0, 0], [148, 4, 131, 137, 1, 1, 1, 1]]
    {
        assert_eq!(world.send(POD_IN, &packet(&options)).dst, at::<V4>(FAR, 8080));
    }
    for options in [[7, 1, 4, 0, 0, 0, 0, 0], [7, 9, 4, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 7]] {
        let sent = world.send(POD_IN, &packet(&options));
        assert_eq!(sent.verdict, Verdict::Unparsed(Unparsed::Foreign), "{options:?}");
    }
}

/// A reset has no extension headers; ICMP quotes them.
#[test]
fn packets_with_extension_headers_are_refused() {
    for chain in [
        vec![options(HOP_BY_HOP, 1)],
        vec![options(HOP_BY_HOP, 2), options(DESTINATION, 3), routing(0), atomic(7)],
        vec![options(DESTINATION, 32)],
    ] {
        let plain = client(Transport::Tcp).build();
        assert_eq!(refuse::<V6>(&extend(&plain, &chain)), refuse::<V6>(&plain));
        let datagram = extend(&client(Transport::Udp).build(), &chain);
        let answer = refuse::<V6>(&datagram).unwrap();
        verify(&answer);
        let quoted = &answer[14 + 40 + 8..];
        assert_eq!(quoted, &datagram[14..datagram.len() - b"hello".len()]);
    }
}
