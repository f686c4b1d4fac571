//! From bytes to a judgement, by etherparse.

use std::fmt::Write as _;

use etherparse::{
    Icmpv4Slice, IpNumber, LaxPacketHeaders, NetSlice, SlicedPacket, TransportSlice, UdpSlice,
    checksum::Sum16BitWords,
};

use super::sctp;

/// An error unless the frame is well-formed and every checksum in it is right.
pub fn judge(frame: &[u8]) -> Result<(), String> {
    let packet = SlicedPacket::from_ethernet(frame).map_err(|error| format!("malformed: {error}"))?;
    if let Some(inner) = inner(&packet) {
        let inner = [&frame[..14], inner].concat();
        judge(&inner).map_err(|error| format!("inside: {error}"))?;
    }
    match (&packet.net, &packet.transport) {
        (Some(NetSlice::Ipv4(ip)), transport) => {
            let header = ip.header().to_header();
            expect("the IPv4 header's checksum", header.header_checksum, header.calc_header_checksum())?;
            match transport {
                None if header.protocol.0 == sctp::PROTOCOL && !ip.is_payload_fragmented() => {
                    sctp::judge(ip.payload().payload)
                }
                Some(TransportSlice::Tcp(tcp)) => {
                    let right = tcp.calc_checksum_ipv4(header.source, header.destination);
                    expect("the TCP checksum", tcp.checksum(), right.map_err(|error| error.to_string())?)
                }
                Some(TransportSlice::Udp(udp)) if udp.checksum() == 0 => Ok(()),
                Some(TransportSlice::Udp(udp)) => {
                    let right = udp.to_header().calc_checksum_ipv4_raw(
                        header.source,
                        header.destination,
                        udp.payload(),
                    );
                    expect("the UDP checksum", udp.checksum(), right.map_err(|error| error.to_string())?)
                }
                Some(TransportSlice::Icmpv4(icmp)) => icmpv4(icmp),
                _ => Ok(()),
            }
        }
        (Some(NetSlice::Ipv6(ip)), transport) => {
            let header = ip.header().to_header();
            match transport {
                None if header.next_header.0 == sctp::PROTOCOL => sctp::judge(ip.payload().payload),
                Some(TransportSlice::Tcp(tcp)) => {
                    let right = tcp.calc_checksum_ipv6(header.source, header.destination);
                    expect("the TCP checksum", tcp.checksum(), right.map_err(|error| error.to_string())?)
                }
                Some(TransportSlice::Udp(udp)) => udpv6(udp, header.source, header.destination),
                Some(TransportSlice::Icmpv6(icmp))
                    if !icmp.is_checksum_valid(header.source, header.destination) =>
                {
                    Err(format!("the ICMPv6 checksum {:#06x} is wrong", icmp.checksum()))
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The UDP port of packets in datagrams.
const GUE: u16 = 6080;

/// The packet that travels in this one.
fn inner<'p>(packet: &'p SlicedPacket<'_>) -> Option<&'p [u8]> {
    match (packet.net.as_ref()?, packet.transport.as_ref()) {
        (_, Some(TransportSlice::Udp(udp))) if udp.destination_port() == GUE => Some(udp.payload()),
        (NetSlice::Ipv4(ip), None) if ip.header().protocol() == IpNumber::IPV4 => Some(ip.payload().payload),
        (NetSlice::Ipv6(ip), None) if ip.header().next_header() == IpNumber::IPV6 => {
            Some(ip.payload().payload)
        }
        _ => None,
    }
}

fn udpv6(udp: &UdpSlice<'_>, src: [u8; 16], dst: [u8; 16]) -> Result<(), String> {
    // RFC 6935: what carries a packet with a checksum may have none.
    if udp.checksum() == 0 && udp.destination_port() == GUE {
        return Ok(());
    }
    let right = udp.to_header().calc_checksum_ipv6_raw(src, dst, udp.payload());
    expect("the UDP checksum", udp.checksum(), right.map_err(|error| error.to_string())?)
}

fn icmpv4(icmp: &Icmpv4Slice<'_>) -> Result<(), String> {
    // Data that holds its own checksum sums up to nothing.
    match Sum16BitWords::new().add_slice(icmp.slice()).ones_complement() {
        0 => Ok(()),
        _ => Err(format!("the ICMP checksum {:#06x} is wrong", icmp.checksum())),
    }
}

fn expect(what: &str, found: u16, right: u16) -> Result<(), String> {
    if found == right { Ok(()) } else { Err(format!("{what} is {found:#06x}, should be {right:#06x}")) }
}

/// What is different between two frames, for people: header fields as etherparse
/// reads them, then the first bytes that differ.
pub fn differences(expected: &[u8], found: &[u8]) -> String {
    let mut text = String::new();
    let (left, right) = (fields(expected), fields(found));
    for (left, right) in left.iter().zip(&right).filter(|(left, right)| left != right) {
        _ = writeln!(text, "  expected {left}\n     found {right}");
    }
    if expected.len() != found.len() {
        _ = writeln!(text, "  expected {} bytes, found {}", expected.len(), found.len());
    }
    for (at, (left, right)) in
        expected.iter().zip(found).enumerate().filter(|(_, (left, right))| left != right)
    {
        _ = writeln!(text, "  byte {at}: expected {left:#04x}, found {right:#04x}");
    }
    text
}

/// One line for each header field.
fn fields(frame: &[u8]) -> Vec<String> {
    let headers = LaxPacketHeaders::from_ethernet(frame);
    let shown =
        headers.map(|headers| format!("{:#?}\n{:#?}\n{:#?}", headers.link, headers.net, headers.transport));
    shown.unwrap_or_else(|error| error.to_string()).lines().map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    const LINES: [&str; 8] = [
        "tcp 10.0.0.1:1 > 10.0.0.2:2 syn options=record-route data=hello",
        "udp 10.0.0.1:1 > 10.0.0.2:2 data=hello",
        "udp 10.0.0.1:1 > 10.0.0.2:2 check=none data=hello",
        "tcp [fd00::1]:1 > [fd00::2]:2 ack data=hello",
        "udp [fd00::1]:1 > [fd00::2]:2 data=hello",
        "unreachable 10.0.0.1 > 10.0.0.2 data=hello",
        "too-big 10.0.0.1 > 10.0.0.2 mtu=1480 data=hello",
        "tcp 10.0.0.1:1 > 10.0.0.2:2 ack data=hello in-ip=10.0.0.3>10.0.0.4",
    ];

    #[test]
    fn frames_as_built_are_right() {
        for line in LINES {
            let packet: Packet = line.parse().unwrap();
            judge(&packet.frame()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    /// The referee must see what it is there to see: any changed bit behind the
    /// Ethernet header, but for the fields that no checksum covers.
    #[test]
    fn a_changed_byte_is_seen() {
        for line in LINES.iter().filter(|line| !line.contains("none")) {
            let frame = line.parse::<Packet>().unwrap().frame();
            let is_v6 = frame[12..14] == [0x86, 0xdd];
            let from = if is_v6 { 14 + 8 } else { 14 };
            for at in from..frame.len() {
                let mut broken = frame.clone();
                broken[at] ^= 0x10;
                assert!(judge(&broken).is_err(), "{line}: byte {at}");
                assert!(!differences(&frame, &broken).is_empty());
            }
        }
    }
}
