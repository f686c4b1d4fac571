//! The frame that a device is made to receive.

use std::net::IpAddr;

use crate::model::{
    Family,
    self_probe::{PORT, address, client},
};

/// No device's own: the stack drops frames that are for somebody else. Both are locally administered (IEEE 802).
const STATION: [u8; 6] = [0x02, b's', b'v', b'c', b'l', b'b'];
const SENDER: [u8; 6] = [0x02, b'p', b'r', b'o', b'b', b'e'];
/// `EtherType`s.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// IANA protocol number of UDP.
const UDP: u8 = 17;
const TEXT: &[u8] = b"svclb self-probe";

/// A datagram from `port` of the probe's client to its Service.
pub(super) fn frame(family: Family, port: u16) -> Vec<u8> {
    let (from, to) = (bytes(client(family)), bytes(address(family)));
    let len = (8 + TEXT.len()) as u16;
    let mut datagram: Vec<u8> = [port, PORT, len, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    datagram.extend(TEXT);
    let pseudo = [&from[..], &to, &len.to_be_bytes(), &[0, UDP]].concat();
    let sum = checksum(&[&pseudo[..], &datagram].concat());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());

    let mut frame = [STATION, SENDER].concat();
    match family {
        Family::V4 => {
            let mut header = vec![0x45, 0];
            header.extend((20 + len).to_be_bytes());
            // Not to be fragmented; a hop limit of 1, so that no router would send it on.
            header.extend([0, 0, 0x40, 0, 1, UDP, 0, 0]);
            header.extend([&from[..], &to].concat());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(IPV4.to_be_bytes());
            frame.extend(header);
        }
        Family::V6 => {
            frame.extend(IPV6.to_be_bytes());
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([UDP, 1]);
            frame.extend([&from[..], &to].concat());
        }
    }
    frame.extend(datagram);
    frame
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is summed with its checksum comes to nothing.
    #[test]
    fn checksums_are_right() {
        let v4 = frame(Family::V4, 40_001);
        assert_eq!(checksum(&v4[14..34]), 0);
        assert_eq!(usize::from(u16::from_be_bytes([v4[16], v4[17]])), v4.len() - 14);
        for family in Family::ALL {
            let frame = frame(family, 40_001);
            let addresses = if family == Family::V4 { &frame[26..34] } else { &frame[22..54] };
            let datagram = &frame[frame.len() - 8 - TEXT.len()..];
            let pseudo = [addresses, &datagram[4..6], &[0, UDP]].concat();
            assert_eq!(checksum(&[&pseudo[..], datagram].concat()), 0, "{family:?}");
            assert_eq!(frame[..6], STATION);
        }
    }
}
