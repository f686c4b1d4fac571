//! Frames that are none for the datapath, and pass as they came.

use svclb_common::{
    family::{Family as _, V4, V6},
    packet::Unparsed,
    wire::Transport,
};

use crate::world::{Net, POD, POD_IN, Sketch, VIP, Verdict, World, at, ends, everywhere, open, verify};

fn world<F: Net>() -> World<F> {
    let mut world = World::new();
    for transport in Transport::ALL {
        world.serve(transport, at::<F>(VIP, 80), &[at::<F>(VIP + 1, 8080)]);
    }
    world
}

#[track_caller]
fn assert_alone<F: Net>(frame: &[u8], why: Unparsed) {
    let after = world::<F>().pass(POD_IN, frame);
    assert_eq!(after.verdict, Verdict::Unparsed(why));
    assert_eq!(after.frame, frame);
}

everywhere! {
    fn a_frame_that_ends_early<F>(transport) {
        let frame = open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build();
        let headers = frame.len() - if transport == Transport::Udp { 5 } else { 0 };
        for len in 0..headers {
            assert_alone::<F>(&frame[..len], Unparsed::Short);
        }
        let whole = world::<F>().pass(POD_IN, &frame[..headers]);
        assert!(matches!(whole.verdict, Verdict::Translated(..)));
    }

    /// What lies behind the packet's end is no header, whatever it looks like.
    fn ports_in_the_padding<F>(transport) {
        let mut frame = open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build();
        let (field, ip) = if F::AF == V4::AF { (14 + 2, 20) } else { (14 + 4, 0) };
        let header: u16 = match transport {
            Transport::Tcp => 20,
            Transport::Udp => 8,
            Transport::Sctp => 16,
        };
        for len in 1..ip + header {
            frame[field..][..2].copy_from_slice(&u16::to_be_bytes(len));
            assert_alone::<F>(&frame, Unparsed::Foreign);
        }
        // Zero stands for more than the field can say, which is TCP's only where it matters.
        let lens = if transport == Transport::Sctp { &[ip + header][..] } else { &[ip + header, 0] };
        for len in lens.iter().copied() {
            frame[field..][..2].copy_from_slice(&u16::to_be_bytes(len));
            let whole = world::<F>().pass(POD_IN, &frame);
            assert!(matches!(whole.verdict, Verdict::Translated(..)));
        }
    }

    fn a_frame_of_the_other_family<F>(transport) {
        let mut frame = open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build();
        for ethertype in [0x0806_u16, 0x8100, 0] {
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            assert_alone::<F>(&frame, Unparsed::Foreign);
        }
    }

    fn a_header_of_another_version<F>(transport) {
        let mut frame = open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build();
        frame[14] ^= 0xf0;
        assert_alone::<F>(&frame, Unparsed::Foreign);
    }
}

#[test]
fn foreign_protocols() {
    for number in (0..=255_u8).filter(|number| Transport::of(*number).is_none()) {
        let mut frame = open(Transport::Tcp, at::<V4>(POD, 40000), at::<V4>(VIP, 80)).build();
        frame[14 + 9] = number;
        assert_not_ours::<V4>(&frame, kind(number, 1));
        let mut frame = open(Transport::Tcp, at::<V6>(POD, 40000), at::<V6>(VIP, 80)).build();
        frame[14 + 6] = number;
        assert_not_ours::<V6>(&frame, kind(number, 58));
    }
}

fn assert_not_ours<F: Net>(frame: &[u8], verdict: Verdict) {
    let after = world::<F>().pass(POD_IN, frame);
    assert_eq!((after.verdict, &after.frame[..]), (verdict, frame));
}

/// What becomes of protocol `number` where `icmp` is that of the family.
fn kind(number: u8, icmp: u8) -> Verdict {
    match number {
        4 | 41 => Verdict::Unparsed(Unparsed::Tunnel),
        // It is looked at, and quotes nothing.
        number if number == icmp => Verdict::NotOurs,
        _ => Verdict::Unparsed(Unparsed::Foreign),
    }
}

#[test]
fn an_ipv4_header_that_is_too_small_for_itself() {
    for words in 0..5 {
        let mut frame = open(Transport::Tcp, at::<V4>(POD, 40000), at::<V4>(VIP, 80)).build();
        frame[14] = 0x40 | words;
        assert_alone::<V4>(&frame, Unparsed::Foreign);
    }
}

/// Options move the ports; the packet is translated all the same.
#[test]
fn ipv4_options() {
    for words in 0..=10 {
        let sketch = Sketch {
            options: vec![1; words * 4],
            ..open(Transport::Tcp, at::<V4>(POD, 40000), at::<V4>(VIP, 80))
        };
        let sent = world::<V4>().send(POD_IN, &sketch);
        assert_eq!(sent.dst, at::<V4>(VIP + 1, 8080));
    }
}

/// A header whose options are not all there is none, and not a later fragment's either.
#[test]
fn an_ipv4_header_that_is_cut() {
    let sketch =
        Sketch { options: vec![1; 40], ..open(Transport::Udp, at::<V4>(POD, 40000), at::<V4>(VIP, 80)) };
    let mut frame = sketch.build();
    frame[20..22].copy_from_slice(&[0, 5]);
    for bytes in 20..60 {
        assert_alone::<V4>(&frame[..14 + bytes], Unparsed::Short);
    }
}

/// RFC 6935: datagrams that carry packets may do without a checksum over IPv6 as well.
#[test]
fn an_unchecked_datagram_over_ipv6() {
    let mut frame = open(Transport::Udp, at::<V6>(POD, 40000), at::<V6>(VIP, 80)).build();
    frame[14 + 40 + 6..][..2].fill(0);
    let after = world::<V6>().pass(POD_IN, &frame).frame;
    assert_eq!(ends(&after).1, at::<V6>(VIP + 1, 8080));
    assert_eq!(after[14 + 40 + 6..][..2], [0, 0]);
}

/// RFC 768: no checksum stays no checksum.
#[test]
fn an_unchecked_datagram() {
    let mut frame = open(Transport::Udp, at::<V4>(POD, 40000), at::<V4>(VIP, 80)).build();
    frame[14 + 20 + 6..][..2].fill(0);
    let mut after = world::<V4>().pass(POD_IN, &frame).frame;
    assert_eq!(ends(&after).1, at::<V4>(VIP + 1, 8080));
    assert_eq!(after[14 + 20 + 6..][..2], [0, 0]);
    // The header's own checksum is right: lend the datagram one to have it judged.
    let whole = open(Transport::Udp, at::<V4>(POD, 40000), at::<V4>(VIP + 1, 8080)).build();
    after[14 + 20 + 6..][..2].copy_from_slice(&whole[14 + 20 + 6..][..2]);
    verify(&after);
}
