//! Packets: made from what was asked, and read from what came out. Neither by the parser of the programs.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};
use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use serde::Serialize;

use crate::model::{Family, Protocol};

/// A source port that a client may well have.
const CLIENT_PORT: u16 = 40_000;
/// Hops that a packet has left.
const HOPS: u8 = 64;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The longest frame that the kernel runs a program on, beside its own needs of a page.
const LONGEST: usize = 3072;

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Packet {
    /// `tcp`, `udp`, `sctp`, `icmp`, or the number of another protocol.
    pub(super) protocol: String,
    /// Its source; the port is 0 where there is none.
    pub(super) from: SocketAddr,
    /// Its destination.
    pub(super) to: SocketAddr,
    /// TCP's control bits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) flags: String,
    /// Whether it is a fragment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_fragment: bool,
    /// Bytes of the frame.
    pub(super) bytes: usize,
    /// The frame.
    #[serde(skip)]
    pub(super) frame: Vec<u8>,
}

impl Packet {
    /// The first packet of a client.
    pub(super) fn first(
        protocol: Protocol,
        from: IpAddr,
        sport: Option<u16>,
        to: SocketAddr,
    ) -> anyhow::Result<Self> {
        let sport = sport.unwrap_or(CLIENT_PORT);
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = match (from, to.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => ethernet.ipv4(src.octets(), dst.octets(), HOPS),
            (IpAddr::V6(src), IpAddr::V6(dst)) => ethernet.ipv6(src.octets(), dst.octets(), HOPS),
            _ => bail!("{from} and {} are of different families", to.ip()),
        };
        let mut frame = Vec::new();
        match protocol {
            Protocol::Tcp => ip.tcp(sport, to.port(), 1, 64_240).syn().write(&mut frame, &[]),
            Protocol::Udp => ip.udp(sport, to.port()).write(&mut frame, b"svclb explain"),
            Protocol::Sctp => ip.write(&mut frame, IpNumber::SCTP, &init(sport, to.port())),
        }
        .context("cannot build the packet")?;
        Self::read(frame).context("cannot read the packet that was built")
    }

    /// What a frame says, if it is one of IP.
    pub(super) fn read(mut frame: Vec<u8>) -> Option<Self> {
        let bytes = frame.len();
        frame.truncate(LONGEST);
        let (protocol, from, to, flags, is_fragment) = headers_of(&frame)?;
        Some(Self { protocol, from, to, flags, is_fragment, bytes, frame })
    }

    /// Its family.
    pub(super) fn family(&self) -> Family {
        Family::of(self.to.ip())
    }

    /// The protocol, if Services have it.
    pub(super) fn transport(&self) -> Option<Protocol> {
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(&self.protocol))
    }

    /// Source and destination, for people.
    pub(super) fn ends(&self) -> String {
        if self.transport().is_some() {
            format!("{} > {}", self.from, self.to)
        } else {
            format!("{} > {}", self.from.ip(), self.to.ip())
        }
    }
}

type Headers = (String, SocketAddr, SocketAddr, String, bool);

/// Also of a packet that was cut when it was captured.
fn headers_of(frame: &[u8]) -> Option<Headers> {
    match SlicedPacket::from_ethernet(frame) {
        Ok(sliced) => Some(headers(sliced.net.as_ref()?, sliced.transport.as_ref())),
        Err(_cut) => lax_headers(&etherparse::LaxSlicedPacket::from_ethernet(frame).ok()?),
    }
}

fn headers(net: &NetSlice<'_>, transport: Option<&TransportSlice<'_>>) -> Headers {
    let (src, dst): (IpAddr, IpAddr) = match net {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return none(),
    };
    let payload = net.ip_payload_ref();
    let number = payload.map_or(IpNumber(255), |payload| payload.ip_number);
    let is_fragment = payload.is_some_and(|payload| payload.fragmented);
    of(src, dst, number, transport, payload.map_or(&[], |payload| payload.payload), is_fragment)
}

fn lax_headers(packet: &etherparse::LaxSlicedPacket<'_>) -> Option<Headers> {
    use etherparse::LaxNetSlice;
    let (src, dst): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    let payload = packet.net.as_ref()?.ip_payload_ref()?;
    Some(of(src, dst, payload.ip_number, packet.transport.as_ref(), payload.payload, payload.fragmented))
}

fn none() -> Headers {
    let nobody = SocketAddr::new(IpAddr::from([0; 4]), 0);
    (String::new(), nobody, nobody, String::new(), false)
}

fn of(
    src: IpAddr,
    dst: IpAddr,
    number: IpNumber,
    transport: Option<&TransportSlice<'_>>,
    payload: &[u8],
    is_fragment: bool,
) -> Headers {
    let ends = |sport, dport| (SocketAddr::new(src, sport), SocketAddr::new(dst, dport));
    match transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let (from, to) = ends(tcp.source_port(), tcp.destination_port());
            let bits = [
                (tcp.syn(), "SYN"),
                (tcp.ack(), "ACK"),
                (tcp.fin(), "FIN"),
                (tcp.rst(), "RST"),
                (tcp.psh(), "PSH"),
            ];
            let flags: Vec<_> =
                bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
            ("tcp".into(), from, to, flags.join(" "), is_fragment)
        }
        Some(TransportSlice::Udp(udp)) => {
            let (from, to) = ends(udp.source_port(), udp.destination_port());
            ("udp".into(), from, to, String::new(), is_fragment)
        }
        Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => {
            let (from, to) = ends(0, 0);
            ("icmp".into(), from, to, String::new(), is_fragment)
        }
        _ if number == IpNumber::SCTP => {
            let port = |at: usize| payload.get(at..at + 2).map_or(0, |it| u16::from_be_bytes([it[0], it[1]]));
            let (from, to) = ends(port(0), port(2));
            ("sctp".into(), from, to, String::new(), is_fragment)
        }
        _ => {
            let (from, to) = ends(0, 0);
            (number.0.to_string(), from, to, String::new(), is_fragment)
        }
    }
}

/// An SCTP packet with an INIT chunk (RFC 9260 section 3.3.2); the programs do not look at its checksum, which
/// changes by difference.
fn init(sport: u16, dport: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(32);
    packet.extend(sport.to_be_bytes());
    packet.extend(dport.to_be_bytes());
    packet.extend([0; 8]);
    // INIT, 20 bytes; initiate tag, window, one stream each way, first sequence number.
    packet.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    packet
}

/// A frame around a packet that was captured without one.
pub(super) fn framed(ip: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if ip.first().is_some_and(|first| first >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(kind);
    debug_assert_eq!(frame.len(), ETHERNET);
    frame.extend(ip);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            for (from, to) in [("10.0.0.1", "10.96.0.1:80"), ("fd00::1", "[fd00::2]:80")] {
                let (from, to): (IpAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
                let packet = Packet::first(protocol, from, Some(7), to).unwrap();
                assert_eq!((packet.from, packet.to), (SocketAddr::new(from, 7), to));
                assert_eq!(packet.transport(), Some(protocol));
                assert_eq!(packet.flags, if protocol == Protocol::Tcp { "SYN" } else { "" });
                let again = Packet::read(framed(&packet.frame[ETHERNET..])).unwrap();
                assert_eq!(again.ends(), packet.ends());
            }
        }
        let mixed =
            Packet::first(Protocol::Tcp, "10.0.0.1".parse().unwrap(), None, "[::1]:1".parse().unwrap());
        assert!(mixed.unwrap_err().to_string().contains("different families"));
        assert_eq!(Packet::read(vec![0; 60]), None);
    }
}
