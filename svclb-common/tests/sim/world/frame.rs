//! Frames, built and judged by etherparse.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, NetHeaders, PacketBuilder, PacketHeaders,
    TcpHeader, TransportHeader,
};
use svclb_common::wire::{TcpFlags, Transport};

use super::sctp;

/// TCP control bits by their short names.
pub(crate) const SYN: u8 = TcpFlags::SYN;
pub(crate) const ACK: u8 = TcpFlags::ACK;
pub(crate) const FIN: u8 = TcpFlags::FIN;
pub(crate) const RST: u8 = TcpFlags::RST;

/// What a frame shall be.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) hops: u8,
    /// Options of the IPv4 header.
    pub(crate) options: Vec<u8>,
    /// Options of the TCP header.
    pub(crate) tcp_options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// The first packet from one end to the other.
pub(crate) fn open(transport: Transport, src: SocketAddr, dst: SocketAddr) -> Sketch {
    let payload = if transport == Transport::Udp { b"hello".to_vec() } else { Vec::new() };
    let (flags, seq) = (TcpFlags::SYN, 0x1234_5678);
    Sketch {
        src,
        dst,
        transport,
        flags,
        seq,
        ack: 0,
        hops: 61,
        options: Vec::new(),
        tcp_options: Vec::new(),
        payload,
    }
}

/// The first answer.
pub(crate) fn reply(transport: Transport, src: SocketAddr, dst: SocketAddr) -> Sketch {
    open(transport, src, dst).with(TcpFlags::SYN | TcpFlags::ACK)
}

/// Any later packet.
pub(crate) fn next(transport: Transport, src: SocketAddr, dst: SocketAddr) -> Sketch {
    Sketch { payload: b"more".to_vec(), ..open(transport, src, dst).with(TcpFlags::ACK) }
}

impl Sketch {
    /// With these TCP control bits.
    pub(crate) fn with(mut self, flags: u8) -> Self {
        self.flags = flags;
        self.ack = if flags & TcpFlags::ACK == 0 { 0 } else { 0x8765_4321 };
        self
    }

    /// The frame.
    pub(crate) fn build(&self) -> Vec<u8> {
        let ip = match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let number = IpNumber(self.transport.number());
                let mut header = Ipv4Header::new(0, self.hops, number, src.octets(), dst.octets()).unwrap();
                header.identification = 0x4242;
                header.options = Ipv4Options::try_from(self.options.as_slice()).unwrap();
                IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Ipv6Header {
                    source: src.octets(),
                    destination: dst.octets(),
                    hop_limit: self.hops,
                    ..Ipv6Header::default()
                };
                IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default())
            }
            ends => panic!("{ends:?} are of two families"),
        };
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ip(ip);
        let mut frame = Vec::new();
        match self.transport {
            Transport::Udp => {
                builder.udp(self.src.port(), self.dst.port()).write(&mut frame, &self.payload).unwrap();
            }
            Transport::Tcp => {
                let mut tcp = TcpHeader::new(self.src.port(), self.dst.port(), self.seq, 512);
                tcp.acknowledgment_number = self.ack;
                tcp.fin = self.flags & TcpFlags::FIN != 0;
                tcp.syn = self.flags & TcpFlags::SYN != 0;
                tcp.rst = self.flags & TcpFlags::RST != 0;
                tcp.ack = self.flags & TcpFlags::ACK != 0;
                tcp.set_options_raw(&self.tcp_options).unwrap();
                builder.tcp_header(tcp).write(&mut frame, &self.payload).unwrap();
            }
            Transport::Sctp => {
                let packet = sctp::build(self.src.port(), self.dst.port(), self.flags, &self.payload);
                builder.write(&mut frame, IpNumber(Transport::Sctp.number()), &packet).unwrap();
            }
        }
        frame
    }
}

/// A frame in a packet to `to` from nobody in particular.
pub(crate) fn wrap(frame: &[u8], to: IpAddr) -> Vec<u8> {
    let from = match to {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 2]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]),
    };
    wrap_from(frame, from, to)
}

/// A frame in a packet.
pub(crate) fn wrap_from(frame: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (eth, inner) = frame.split_at(14);
    let mut outer = eth.to_vec();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let len = u16::try_from(inner.len()).unwrap();
            let header = Ipv4Header::new(len, 64, IpNumber::IPV4, from.octets(), to.octets()).unwrap();
            header.write(&mut outer).unwrap();
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                source: from.octets(),
                destination: to.octets(),
                hop_limit: 64,
                payload_length: u16::try_from(inner.len()).unwrap(),
                next_header: IpNumber::IPV6,
                ..Ipv6Header::default()
            };
            header.write(&mut outer).unwrap();
        }
        ends => panic!("{ends:?} are of two families"),
    }
    outer.extend_from_slice(inner);
    outer
}

/// A frame in a UDP datagram.
pub(crate) fn wrap_in_udp(frame: &[u8], from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    Sketch { payload: frame[14..].to_vec(), ..open(Transport::Udp, from, to) }.build()
}

/// What etherparse finds in a frame.
pub(crate) fn headers(frame: &[u8]) -> PacketHeaders<'_> {
    PacketHeaders::from_ethernet_slice(frame).unwrap()
}

/// Ones' complement has two zeros, and both are right.
fn same(found: u16, right: u16) -> bool {
    found == right || matches!((found, right), (0, 0xffff) | (0xffff, 0))
}

/// Asserts that every checksum of a frame is right.
pub(crate) fn verify(frame: &[u8]) {
    let parsed = headers(frame);
    let payload = parsed.payload.slice();
    if let Some(NetHeaders::Ipv4(ip, _)) = &parsed.net {
        assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "header checksum");
    }
    if parsed.transport.is_none() {
        return sctp::verify(payload);
    }
    let (found, right) = match (parsed.net.as_ref().unwrap(), parsed.transport.as_ref().unwrap()) {
        (NetHeaders::Ipv4(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (NetHeaders::Ipv4(ip, _), TransportHeader::Udp(udp)) => {
            (udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Udp(udp)) => {
            (udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (_, TransportHeader::Icmpv4(icmp)) => (icmp.checksum, icmp.icmp_type.calc_checksum(payload)),
        (NetHeaders::Ipv6(ip, _), TransportHeader::Icmpv6(icmp)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap())
        }
        other => panic!("{other:?}"),
    };
    assert!(same(found, right), "transport checksum is {found:#06x}, not {right:#06x}");
    // RFC 768: zero says that there is none.
    let unchecked = matches!(parsed.transport, Some(TransportHeader::Udp(_))) && found == 0;
    assert!(!unchecked, "a UDP checksum of zero");
}

/// Source and destination of a frame.
pub(crate) fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let parsed = headers(frame);
    let (src, dst) = match parsed.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
        NetHeaders::Ipv6(ip, _) => (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
        NetHeaders::Arp(_) => panic!("no IP"),
    };
    let (sport, dport) = match parsed.transport {
        Some(TransportHeader::Tcp(tcp)) => (tcp.source_port, tcp.destination_port),
        Some(TransportHeader::Udp(udp)) => (udp.source_port, udp.destination_port),
        None => sctp::ports(parsed.payload.slice()),
        other => panic!("{other:?}"),
    };
    (SocketAddr::new(src, sport), SocketAddr::new(dst, dport))
}

/// Asserts that `after` is `before` with other addresses and ports and right checksums.
pub(crate) fn assert_only_ends_changed(before: &[u8], after: &[u8]) {
    verify(after);
    assert_eq!(before.len(), after.len());
    assert_eq!(without_ends(before), without_ends(after));
    if headers(before).transport.is_none() {
        sctp::assert_only_ends_changed(headers(before).payload.slice(), headers(after).payload.slice());
    }
}

/// A frame without what translation changes.
fn without_ends(frame: &[u8]) -> PacketHeaders<'_> {
    let mut parsed = headers(frame);
    match parsed.net.as_mut().unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            (ip.source, ip.destination, ip.header_checksum) = ([0; 4], [0; 4], 0);
        }
        NetHeaders::Ipv6(ip, _) => (ip.source, ip.destination) = ([0; 16], [0; 16]),
        NetHeaders::Arp(_) => {}
    }
    match parsed.transport.as_mut() {
        Some(TransportHeader::Tcp(tcp)) => {
            (tcp.source_port, tcp.destination_port, tcp.checksum) = (0, 0, 0);
        }
        Some(TransportHeader::Udp(udp)) => {
            (udp.source_port, udp.destination_port, udp.checksum) = (0, 0, 0);
        }
        Some(_) => {}
        None => parsed.payload = etherparse::PayloadSlice::Empty,
    }
    parsed
}
