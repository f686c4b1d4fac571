//! Frames as people write them, for tests.
//!
//! A [`Packet`] is a description: symbolic headers and a payload. etherparse makes
//! the bytes ([`Packet::frame`]) and judges what came back ([`judge`]); svclb's own
//! parser has no part in it, so that an error there cannot hide itself.

mod build;
mod extension;
mod line;
mod referee;
mod sctp;

use std::net::{IpAddr, SocketAddr};

pub use extension::Extension;
pub use referee::{differences, judge};
pub use sctp::Sctp;

/// A frame by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source MAC address.
    pub from: [u8; 6],
    /// Destination MAC address.
    pub to: [u8; 6],
    /// `EtherType`; that of the addresses unless told otherwise.
    pub ethertype: Option<u16>,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IPv4's type of service or IPv6's traffic class.
    pub tos: u8,
    /// IPv6's flow label.
    pub flow: u32,
    /// IPv4's identification.
    pub id: u16,
    /// IPv4's "don't fragment".
    pub df: bool,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// IPv4's options.
    pub options: Vec<u8>,
    /// IPv6's extension headers, but for the one of fragments, which comes last.
    pub extensions: Vec<Extension>,
    /// Place in a larger packet.
    pub fragment: Option<Fragment>,
    /// What the IP header carries.
    pub body: Body,
    /// What the body carries.
    pub payload: Vec<u8>,
    /// The packet that this one travels in.
    pub outer: Option<Outer>,
    /// Bytes behind the IP packet: the link's padding.
    pub padding: usize,
}

/// The headers of a packet around another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Both ports, if it is a UDP datagram.
    pub ports: Option<(u16, u16)>,
    /// Time to live or hop limit.
    pub ttl: u8,
}

/// Place of a fragment in the packet that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// In units of 8 bytes.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
}

/// The header after IP's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// What is in the checksum field.
        check: Check,
    },
    /// SCTP; the payload is the first chunk's.
    Sctp(Sctp),
    /// A protocol without a header that matters.
    Other(u8),
    /// ICMP or ICMPv6; the payload of an error is what it quotes.
    Icmp(Icmp),
}

/// An ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// Error: nobody listens there.
    PortUnreachable,
    /// Error: too large for a link that carries packets of so many bytes.
    TooBig(u16),
    /// Error: the hop limit has run out.
    TimeExceeded,
    /// Error: a header makes no sense.
    ParameterProblem,
    /// Between neighbours: another router is nearer. IPv4 only.
    Redirect,
    /// Is anybody there?
    EchoRequest,
    /// Yes.
    EchoReply,
}

/// A TCP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits by name.
    pub flags: Vec<Flag>,
    /// Window.
    pub window: u16,
    /// Options.
    pub options: Vec<u8>,
    /// What is in the checksum field.
    pub check: Check,
}

/// A control bit of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Opens.
    Syn,
    /// Acknowledges.
    Ack,
    /// Ends.
    Fin,
    /// Aborts.
    Rst,
    /// Asks for delivery.
    Psh,
}

/// What a checksum field holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// The checksum.
    #[default]
    Full,
    /// The sum of the pseudo-header: the device is to do the rest.
    Partial,
    /// Zero: there is none.
    None,
}

impl Packet {
    /// Source address and port; port 0 where the protocol has none.
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.src, self.ports().0)
    }

    /// Destination address and port; port 0 where the protocol has none.
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.dst, self.ports().1)
    }

    /// Bytes of the IP packet.
    pub fn ip_len(&self) -> usize {
        self.frame().len() - build::ETHERNET - self.padding
    }

    /// Whether the checksum behind the IP header is there and known to be right.
    pub fn is_checked(&self) -> bool {
        match &self.body {
            // Only datagrams that carry packets may do without over IPv6, and these are not looked into.
            Body::Udp { check: Check::None, .. } => self.src.is_ipv4(),
            Body::Tcp(Tcp { check, .. }) | Body::Udp { check, .. } => *check != Check::Partial,
            Body::Sctp(sctp) => sctp.check == Check::Full,
            Body::Other(_) => false,
            Body::Icmp(_) => true,
        }
    }

    fn ports(&self) -> (u16, u16) {
        match &self.body {
            Body::Tcp(tcp) => (tcp.sport, tcp.dport),
            Body::Udp { sport, dport, .. } => (*sport, *dport),
            Body::Sctp(sctp) => (sctp.sport, sctp.dport),
            Body::Other(_) | Body::Icmp(_) => (0, 0),
        }
    }
}
