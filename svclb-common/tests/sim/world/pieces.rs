//! Frames cut into fragments and put together again, and IPv6 extension headers; by etherparse.

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, SlicedPacket, defrag::IpDefragPool,
};
use svclb_common::wire::Eth;

const ETH: usize = size_of::<Eth>();

fn is_v4(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x00]
}

/// Fragments of the packet in `frame`: pieces of these sizes in units of 8 bytes, and a last one.
pub(crate) fn cut(frame: &[u8], id: u16, units: &[usize]) -> Vec<Vec<u8>> {
    let (eth, packet) = frame.split_at(ETH);
    let mut pieces = Vec::new();
    let mut at = 0;
    let payload =
        if is_v4(frame) { Ipv4Header::from_slice(packet).unwrap().1 } else { &packet[Ipv6Header::LEN..] };
    for unit in units.iter().copied().chain([usize::MAX / 8]) {
        if at >= payload.len() {
            break;
        }
        let end = payload.len().min(at.saturating_add(unit * 8));
        let offset = IpFragOffset::try_new(u16::try_from(at / 8).unwrap()).unwrap();
        let more = end < payload.len();
        let mut piece = eth.to_vec();
        if is_v4(frame) {
            let (mut ip, _) = Ipv4Header::from_slice(packet).unwrap();
            (ip.identification, ip.fragment_offset, ip.more_fragments) = (id, offset, more);
            ip.dont_fragment = false;
            ip.set_payload_len(end - at).unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            piece.extend(ip.to_bytes());
        } else {
            let (mut ip, _) = Ipv6Header::from_slice(packet).unwrap();
            let fragment = Ipv6FragmentHeader::new(ip.next_header, offset, more, id.into());
            ip.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
            ip.set_payload_length(Ipv6FragmentHeader::LEN + end - at).unwrap();
            piece.extend(ip.to_bytes());
            piece.extend(fragment.to_bytes());
        }
        piece.extend(&payload[at..end]);
        pieces.push(piece);
        at = end;
    }
    pieces
}

/// The frame of the packet that the fragments make, in whatever order they come.
pub(crate) fn join(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut pool = IpDefragPool::<(), ()>::new();
    let whole = pieces
        .iter()
        .find_map(|piece| {
            pool.process_sliced_packet(&SlicedPacket::from_ethernet(piece).unwrap(), (), ()).unwrap()
        })
        .unwrap();
    let first = &pieces[0];
    let mut frame = first[..ETH].to_vec();
    if is_v4(first) {
        let (mut ip, _) = Ipv4Header::from_slice(&first[ETH..]).unwrap();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        (ip.fragment_offset, ip.more_fragments) = (IpFragOffset::ZERO, false);
        // What a sketch has when it is whole.
        (ip.identification, ip.dont_fragment) = (0x4242, true);
        ip.set_payload_len(whole.payload.len()).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        frame.extend(ip.to_bytes());
    } else {
        let (mut ip, _) = Ipv6Header::from_slice(&first[ETH..]).unwrap();
        ip.next_header = whole.ip_number;
        ip.set_payload_length(whole.payload.len()).unwrap();
        frame.extend(ip.to_bytes());
    }
    frame.extend(&whole.payload);
    frame
}

/// An IPv6 extension header: its number, and its bytes behind the next header's number.
pub(crate) type Extension = (u8, Vec<u8>);

/// Options of padding, `units` times 8 bytes long.
pub(crate) fn options(number: u8, units: u8) -> Extension {
    let padding = usize::from(units) * 8 - 4;
    (number, [vec![units - 1, 1, padding as u8], vec![0; padding]].concat())
}

/// A routing header of type 2 without addresses.
pub(crate) fn routing(segments_left: u8) -> Extension {
    (43, vec![0, 2, segments_left, 0, 0, 0, 0])
}

/// The fragment header of a packet that is whole, RFC 6946.
pub(crate) fn atomic(id: u32) -> Extension {
    (44, [&[0, 0, 0][..], &id.to_be_bytes()].concat())
}

/// The IPv6 frame with extension headers before what it had.
pub(crate) fn extend(frame: &[u8], chain: &[Extension]) -> Vec<u8> {
    let (mut ip, rest) = Ipv6Header::from_slice(&frame[ETH..]).unwrap();
    let numbers = chain.iter().map(|(number, _)| *number).chain([ip.next_header.0]);
    let numbers: Vec<u8> = numbers.collect();
    let mut headers = Vec::new();
    for ((_, body), next) in chain.iter().zip(&numbers[1..]) {
        headers.push(*next);
        headers.extend(body);
    }
    ip.next_header = IpNumber(numbers[0]);
    ip.set_payload_length(headers.len() + rest.len()).unwrap();
    [&frame[..ETH], &ip.to_bytes(), &headers, rest].concat()
}
