//! Whether a frame's checksums are right, by etherparse and a CRC of another's making.

use crc::{CRC_32_ISCSI, Crc};
use etherparse::{NetSlice, SlicedPacket, TransportSlice, checksum::Sum16BitWords};

/// Whether the frame is well-formed and every checksum in it is right or absent.
pub(crate) fn is_right(frame: &[u8]) -> bool {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return false };
    match (&packet.net, &packet.transport) {
        (Some(NetSlice::Ipv4(ip)), transport) => {
            let header = ip.header().to_header();
            let upper = match transport {
                None if header.protocol.0 == 132 => sctp(ip.payload().payload),
                None => true,
                Some(TransportSlice::Udp(udp)) if udp.checksum() == 0 => true,
                Some(TransportSlice::Tcp(tcp)) => {
                    same(tcp.checksum(), tcp.calc_checksum_ipv4(header.source, header.destination).ok())
                }
                Some(TransportSlice::Udp(udp)) => {
                    let sum = udp.to_header().calc_checksum_ipv4_raw(
                        header.source,
                        header.destination,
                        udp.payload(),
                    );
                    same(udp.checksum(), sum.ok())
                }
                Some(TransportSlice::Icmpv4(icmp)) => {
                    Sum16BitWords::new().add_slice(icmp.slice()).ones_complement() == 0
                }
                Some(_) => true,
            };
            upper && header.header_checksum == header.calc_header_checksum()
        }
        (Some(NetSlice::Ipv6(ip)), transport) => {
            let header = ip.header().to_header();
            match transport {
                None if header.next_header.0 == 132 => sctp(ip.payload().payload),
                None => true,
                Some(TransportSlice::Tcp(tcp)) => {
                    same(tcp.checksum(), tcp.calc_checksum_ipv6(header.source, header.destination).ok())
                }
                Some(TransportSlice::Udp(udp)) => {
                    let sum = udp.to_header().calc_checksum_ipv6_raw(
                        header.source,
                        header.destination,
                        udp.payload(),
                    );
                    same(udp.checksum(), sum.ok())
                }
                Some(TransportSlice::Icmpv6(icmp)) => {
                    icmp.is_checksum_valid(header.source, header.destination)
                }
                Some(_) => true,
            }
        }
        _ => true,
    }
}

/// Ones' complement has two zeros, and both are right.
fn same(found: u16, right: Option<u16>) -> bool {
    right.is_some_and(|right| found == right || matches!((found, right), (0, 0xffff) | (0xffff, 0)))
}

/// A checksum of zero is left to the device.
fn sctp(packet: &[u8]) -> bool {
    let Some(found) = packet.get(8..12) else { return false };
    let mut bare = packet.to_vec();
    bare[8..12].fill(0);
    found == [0; 4] || found == Crc::<u32>::new(&CRC_32_ISCSI).checksum(&bare).to_le_bytes()
}
