//! The packets that say no: what the sender of a refused packet receives.

use etherparse::{Icmpv4Type, Icmpv6Type, NetHeaders, TransportHeader, icmpv4, icmpv6};
use svclb_common::{
    outline::Outline,
    packet::Packet,
    refuse::{
        Notice, Refusal, Segment, close_up, is_partial, kept, reset_offset, room, write_notice, write_reset,
    },
    verdict::DropReason,
    wire::{Cursor, Eth, TcpFlags, Transport},
};

use crate::world::{
    ACK, FIN, Net, POD, POD_IN, RST, SYN, Sketch, VIP, Verdict, World, at, ends, everywhere, families,
    headers, open, untouched, verify,
};

const ETH: usize = size_of::<Eth>();

/// What the holder of a frame does to refuse it; nothing for what cannot be read or
/// must not be answered.
pub(crate) fn refuse<F: Net>(frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    let mut cursor = Cursor::from(frame.as_mut_slice());
    let _eth = cursor.take::<Eth>()?;
    let outline = Outline::of::<F>(cursor.take::<F::Header>()?, &cursor).ok()?;
    let mut cursor = Cursor::from(frame.as_mut_slice());
    let eth = cursor.take::<Eth>()?;
    let packet = (!outline.is_headless()).then(|| Packet::<F>::parse_at(eth, cursor, outline).ok())??;
    let refusal = Refusal::of_part(outline, packet.transport, packet.flags)?;
    let mut segment = Segment::of(&packet);
    segment.partial &= !outline.is_fragment();
    let partial = segment.partial;
    if refusal == Refusal::Reset {
        close_up::<F>(Cursor::from(frame.as_mut_slice()), segment.l4_offset).unwrap();
        segment.l4_offset = reset_offset::<F>(segment.l4_offset);
    }
    let kept = kept(refusal, segment.l4_offset);
    frame.truncate(kept);
    match refusal {
        Refusal::Reset => write_reset::<F>(Cursor::from(frame.as_mut_slice()), segment).unwrap(),
        Refusal::Unreachable => {
            // Whatever the memory held before.
            frame.splice(ETH..ETH, vec![0xaa; room::<F>()]);
            write_notice::<F>(
                Cursor::from(frame.as_mut_slice()),
                Notice::unreachable::<F>(),
                kept - ETH,
                partial,
            )
            .unwrap();
        }
    }
    Some(frame)
}

fn client<F: Net>(transport: Transport) -> Sketch {
    open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80))
}

/// Where the transport header of the packet in `frame` begins.
fn l4(frame: &[u8]) -> usize {
    ETH + headers(frame).net.unwrap().header_len()
}

/// Ones' complement sum, RFC 1071, as the RFC writes it.
fn sum(data: &[u8]) -> u16 {
    let mut sum = data
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum::<u32>();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Where the checksum lies in a transport header.
fn check_at(transport: Transport) -> usize {
    match transport {
        Transport::Tcp => 16,
        Transport::Udp => 6,
        Transport::Sctp => 8,
    }
}

/// Leaves the checksum to the device: the field holds the pseudo-header's sum.
fn leave_to_device(frame: &mut [u8], transport: Transport) {
    let start = l4(frame);
    let len = (frame.len() - start) as u16;
    let mut pseudo = match headers(frame).net.unwrap() {
        NetHeaders::Ipv4(ip, _) => [ip.source, ip.destination].concat(),
        NetHeaders::Ipv6(ip, _) => [ip.source, ip.destination].concat(),
        NetHeaders::Arp(_) => panic!("no IP"),
    };
    pseudo.extend([0, transport.number()]);
    pseudo.extend(len.to_be_bytes());
    let at = start + check_at(transport);
    frame[at..at + 2].copy_from_slice(&sum(&pseudo).to_be_bytes());
}

/// What the device does then.
fn complete(frame: &mut [u8], start: usize, transport: Transport) {
    let check = !sum(&frame[start..]);
    let check = if check == 0 && transport == Transport::Udp { 0xffff } else { check };
    let at = start + check_at(transport);
    frame[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

everywhere! {
    fn nobody_serves<F>(transport) {
        let mut world = World::<F>::new();
        let vip = at::<F>(VIP, 80);
        let service = world.serve(transport, vip, &[]);
        world.add_node_port(transport, 80, service);
        let packet = client::<F>(transport);
        assert_eq!(world.send(POD_IN, &packet), untouched(Verdict::Refused(DropReason::NoBackend), &packet));
        assert_eq!((world.flows.len(), world.half_open.len()), (0, 0));
    }

    fn a_partial_checksum_is_told_from_a_whole_one<F>(transport) {
        let whole = client::<F>(transport).build();
        let mut partial = whole.clone();
        leave_to_device(&mut partial, transport);
        // What SCTP leaves to a device is zero, whatever is in the addresses.
        let is_told = transport != Transport::Sctp;
        for (mut frame, expected) in [(whole, false), (partial, is_told)] {
            let mut cursor = Cursor::from(frame.as_mut_slice());
            let eth = cursor.take::<Eth>().unwrap();
            let packet = Packet::<F>::parse(eth, cursor).unwrap();
            assert_eq!(is_partial(&packet), expected);
        }
    }
}

families! {
    fn a_reset_is_what_the_rfc_says<F>() {
        const S: u32 = 0xffff_fffe;
        const A: u32 = 0x8765_4321;
        // Control bits and bytes of data; sequence and acknowledgement number and bits of
        // the reset (RFC 9293, section 3.10.7.1).
        let table = [
            (SYN, 0, (0, S.wrapping_add(1), RST | ACK)),
            (SYN, 4, (0, S.wrapping_add(5), RST | ACK)),
            (SYN | FIN, 3, (0, S.wrapping_add(5), RST | ACK)),
            (FIN, 0, (0, S.wrapping_add(1), RST | ACK)),
            (0, 7, (0, S.wrapping_add(7), RST | ACK)),
            (ACK, 0, (A, 0, RST)),
            (ACK, 9, (A, 0, RST)),
            (SYN | ACK, 0, (A, 0, RST)),
            (FIN | ACK, 1, (A, 0, RST)),
        ];
        for (flags, data, expected) in table {
            for (options, partial) in [(0, false), (20, false), (0, true), (20, true)] {
                let sketch = Sketch {
                    seq: S,
                    tcp_options: vec![1; options],
                    payload: vec![0x5a; data],
                    ..client::<F>(Transport::Tcp).with(flags)
                };
                let mut frame = sketch.build();
                if partial {
                    leave_to_device(&mut frame, Transport::Tcp);
                }
                let mut reset = refuse::<F>(&frame).unwrap();
                if partial {
                    let start = l4(&reset);
                    complete(&mut reset, start, Transport::Tcp);
                }
                verify(&reset);
                assert_eq!(ends(&reset), (sketch.dst, sketch.src));
                assert_eq!((&reset[..6], &reset[6..12]), (&frame[6..12], &frame[..6]));
                let parsed = headers(&reset);
                let Some(TransportHeader::Tcp(tcp)) = parsed.transport else { panic!("no TCP") };
                let bits = [(tcp.rst, RST), (tcp.ack, ACK), (tcp.syn, SYN), (tcp.fin, FIN)];
                let bits = bits.into_iter().map(|(set, bit)| if set { bit } else { 0 }).sum::<u8>();
                assert_eq!((tcp.sequence_number, tcp.acknowledgment_number, bits), expected);
                assert_eq!((tcp.window_size, tcp.urgent_pointer, tcp.header_len()), (0, 0, 20));
                assert!(parsed.payload.slice().is_empty());
                match parsed.net.unwrap() {
                    NetHeaders::Ipv4(ip, _) => assert_eq!((ip.time_to_live, ip.total_len), (64, 40)),
                    NetHeaders::Ipv6(ip, _) => assert_eq!((ip.hop_limit, ip.payload_length), (64, 20)),
                    NetHeaders::Arp(_) => panic!("no IP"),
                }
            }
        }
    }

    fn a_reset_is_not_answered<F>() {
        for flags in [RST, RST | ACK] {
            assert_eq!(refuse::<F>(&client::<F>(Transport::Tcp).with(flags).build()), None);
            assert_eq!(Refusal::of(Transport::Tcp, TcpFlags(flags)), None);
        }
    }

    fn a_datagram_is_unreachable<F>() {
        for data in [0, 1, 5, 1400] {
            for options in [0, 4, 20, 40] {
                for partial in [false, true] {
                    let sketch = Sketch {
                        payload: vec![0x5a; data],
                        options: vec![1; options],
                        ..client::<F>(Transport::Udp)
                    };
                    assert_unreachable::<F>(&sketch, partial);
                }
            }
        }
    }
}

fn assert_unreachable<F: Net>(sketch: &Sketch, partial: bool) {
    let mut frame = sketch.build();
    let start = l4(&frame);
    if partial {
        leave_to_device(&mut frame, Transport::Udp);
    }
    let mut answer = refuse::<F>(&frame).unwrap();
    assert_eq!(answer[ETH + room::<F>()..], frame[ETH..start + 8], "the packet as it was sent");
    if partial {
        complete(&mut answer, start + room::<F>(), Transport::Udp);
    }
    verify(&answer);
    assert_eq!((&answer[..6], &answer[6..12]), (&frame[6..12], &frame[..6]));
    let parsed = headers(&answer);
    match parsed.transport.unwrap() {
        TransportHeader::Icmpv4(icmp) => {
            let port = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
            assert_eq!(icmp.icmp_type, port);
        }
        TransportHeader::Icmpv6(icmp) => {
            let port = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
            assert_eq!(icmp.icmp_type, port);
        }
        other => panic!("{other:?}"),
    }
    let (src, dst, hops) = match parsed.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into(), ip.time_to_live),
        NetHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into(), ip.hop_limit),
        NetHeaders::Arp(_) => panic!("no IP"),
    };
    assert_eq!((src, dst, hops), (sketch.dst.ip(), sketch.src.ip(), 64));
}

/// A reset keeps the options of the IPv4 header that it answers.
#[test]
fn a_reset_behind_ipv4_options() {
    use svclb_common::family::V4;
    for partial in [false, true] {
        let sketch = Sketch { options: vec![1; 12], ..client::<V4>(Transport::Tcp) };
        let mut frame = sketch.build();
        if partial {
            leave_to_device(&mut frame, Transport::Tcp);
        }
        let mut reset = refuse::<V4>(&frame).unwrap();
        if partial {
            complete(&mut reset, ETH + 32, Transport::Tcp);
        }
        verify(&reset);
        assert_eq!(ends(&reset), (sketch.dst, sketch.src));
    }
}

/// RFC 768: a datagram without a checksum is quoted without one.
#[test]
fn an_unchecked_datagram_is_unreachable() {
    use svclb_common::family::V4;
    let mut frame = client::<V4>(Transport::Udp).build();
    let at = l4(&frame) + check_at(Transport::Udp);
    frame[at..at + 2].fill(0);
    verify(&refuse::<V4>(&frame).unwrap());
}
