//! What connection tracking knows of a connection (`linux/netfilter/nfnetlink_conntrack.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc::{AF_INET, AF_INET6};

use super::message::{Message, attribute};

/// `IPS_SEEN_REPLY` (`linux/netfilter/nf_conntrack_common.h`): both directions have been seen.
pub const SEEN_REPLY: u32 = 1 << 1;
/// `IPS_ASSURED`: it is not forgotten to make room.
pub const ASSURED: u32 = 1 << 2;
/// `IPS_CONFIRMED`: it is in the table.
pub const CONFIRMED: u32 = 1 << 3;

/// Attributes of a connection.
mod attr {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOINFO: u16 = 4;
    pub(super) const NAT_SRC: u16 = 6;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const NAT_DST: u16 = 13;
    pub(super) const ZONE: u16 = 18;
    /// Of a tuple.
    pub(super) const TUPLE_IP: u16 = 1;
    pub(super) const TUPLE_PROTO: u16 = 2;
    /// Of its addresses.
    pub(super) const V4_SRC: u16 = 1;
    pub(super) const V4_DST: u16 = 2;
    pub(super) const V6_SRC: u16 = 3;
    pub(super) const V6_DST: u16 = 4;
    /// Of its protocol.
    pub(super) const NUMBER: u16 = 1;
    pub(super) const SRC_PORT: u16 = 2;
    pub(super) const DST_PORT: u16 = 3;
    /// Of TCP.
    pub(super) const TCP: u16 = 1;
    pub(super) const TCP_STATE: u16 = 1;
    pub(super) const TCP_FLAGS_ORIGINAL: u16 = 4;
    pub(super) const TCP_FLAGS_REPLY: u16 = 5;
    /// Of a translation.
    pub(super) const NAT_V4_MIN: u16 = 1;
    pub(super) const NAT_V4_MAX: u16 = 2;
    pub(super) const NAT_PROTO: u16 = 3;
    pub(super) const NAT_V6_MIN: u16 = 4;
    pub(super) const NAT_V6_MAX: u16 = 5;
    pub(super) const PORT_MIN: u16 = 1;
    pub(super) const PORT_MAX: u16 = 2;
}

/// `IP_CT_TCP_FLAG_BE_LIBERAL` and `IP_CT_TCP_FLAG_SACK_PERM` (`linux/netfilter/nf_conntrack_tcp.h`): nobody has seen the
/// windows of a connection that is entered in its midst.
const LIBERAL: u8 = 0x08 | 0x02;

/// Where TCP stands: `enum tcp_conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TcpState {
    /// The client has sent its SYN.
    SynSent = 1,
    /// The backend has answered it.
    SynReceived = 2,
    /// Both have spoken.
    Established = 3,
    /// One side has finished.
    FinWait = 4,
    /// The same, and the other side knows.
    CloseWait = 5,
    /// Both have finished.
    LastAck = 6,
    /// The same, and both know.
    TimeWait = 7,
    /// It was reset, or is nothing at all.
    Closed = 8,
}

impl TcpState {
    fn of(number: u8) -> Self {
        match number {
            // Both ends have sent a SYN.
            1 | 9 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::CloseWait,
            6 => Self::LastAck,
            7 => Self::TimeWait,
            _ => Self::Closed,
        }
    }
}

/// A direction's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source.
    pub src: SocketAddr,
    /// Destination, of the same family.
    pub dst: SocketAddr,
    /// IANA protocol number.
    pub protocol: u8,
}

impl Tuple {
    /// The packets that answer to these, if nothing is translated.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src, ..self }
    }

    /// `AF_INET` or `AF_INET6`.
    pub fn family(&self) -> u8 {
        if self.dst.is_ipv4() { AF_INET as u8 } else { AF_INET6 as u8 }
    }
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the client sends.
    pub original: Tuple,
    /// What answers to it, as it comes in: another destination than the client is a source translation, another source
    /// than the client's destination is a translation of that.
    pub reply: Tuple,
    /// [`SEEN_REPLY`] and its like.
    pub status: u32,
    /// Seconds until it is forgotten.
    pub timeout: u32,
    /// Where TCP stands.
    pub tcp: Option<TcpState>,
    /// The zone; 0 for all that is not told apart.
    pub zone: u16,
}

impl Entry {
    /// Whether packets of the client go to another destination than they name.
    pub fn translates_destination(&self) -> bool {
        self.original.dst != self.reply.src
    }

    /// Whether they come from another source.
    pub fn translates_source(&self) -> bool {
        self.original.src != self.reply.dst
    }

    /// Reads the attributes of one. None if it has no ports, or is not whole.
    pub(super) fn read(attributes: &[u8]) -> Option<Self> {
        let tcp = attribute(attributes, attr::PROTOINFO)
            .and_then(|info| attribute(info, attr::TCP))
            .and_then(|tcp| attribute(tcp, attr::TCP_STATE))
            .and_then(|state| state.first())
            .map(|state| TcpState::of(*state));
        Some(Self {
            original: tuple(attribute(attributes, attr::ORIGINAL)?)?,
            reply: tuple(attribute(attributes, attr::REPLY)?)?,
            status: be32(attribute(attributes, attr::STATUS)?)?,
            timeout: attribute(attributes, attr::TIMEOUT).and_then(be32).unwrap_or(0),
            tcp,
            zone: attribute(attributes, attr::ZONE).and_then(be16).unwrap_or(0),
        })
    }

    /// Adds the attributes that make the kernel enter it.
    pub(super) fn write(&self, message: &mut Message) {
        put_tuple(message, attr::ORIGINAL, &self.original);
        // As if nothing were translated: the translations make another one of it.
        put_tuple(message, attr::REPLY, &self.original.reversed());
        message.put(attr::STATUS, &self.status.to_be_bytes());
        message.put(attr::TIMEOUT, &self.timeout.to_be_bytes());
        if let Some(state) = self.tcp {
            message.nest(attr::PROTOINFO, |info| {
                info.nest(attr::TCP, |tcp| {
                    tcp.put(attr::TCP_STATE, &[state as u8]);
                    tcp.put(attr::TCP_FLAGS_ORIGINAL, &[LIBERAL; 2]);
                    tcp.put(attr::TCP_FLAGS_REPLY, &[LIBERAL; 2]);
                });
            });
        }
        if self.translates_destination() {
            put_nat(message, attr::NAT_DST, self.reply.src);
        }
        if self.translates_source() {
            put_nat(message, attr::NAT_SRC, self.reply.dst);
        }
    }
}

/// Adds the attribute that names an entry by its client's packets.
pub(super) fn put_original(message: &mut Message, original: &Tuple) {
    put_tuple(message, attr::ORIGINAL, original);
}

/// Adds the attribute that names an entry by its answers.
pub(super) fn put_reply(message: &mut Message, reply: &Tuple) {
    put_tuple(message, attr::REPLY, reply);
}

fn put_tuple(message: &mut Message, kind: u16, tuple: &Tuple) {
    message.nest(kind, |all| {
        all.nest(attr::TUPLE_IP, |ip| {
            for (addr, v4, v6) in
                [(tuple.src.ip(), attr::V4_SRC, attr::V6_SRC), (tuple.dst.ip(), attr::V4_DST, attr::V6_DST)]
            {
                match addr {
                    IpAddr::V4(addr) => ip.put(v4, &addr.octets()),
                    IpAddr::V6(addr) => ip.put(v6, &addr.octets()),
                }
            }
        });
        all.nest(attr::TUPLE_PROTO, |proto| {
            proto.put(attr::NUMBER, &[tuple.protocol]);
            proto.put(attr::SRC_PORT, &tuple.src.port().to_be_bytes());
            proto.put(attr::DST_PORT, &tuple.dst.port().to_be_bytes());
        });
    });
}

fn put_nat(message: &mut Message, kind: u16, to: SocketAddr) {
    message.nest(kind, |nat| {
        match to.ip() {
            IpAddr::V4(addr) => [attr::NAT_V4_MIN, attr::NAT_V4_MAX].map(|end| nat.put(end, &addr.octets())),
            IpAddr::V6(addr) => [attr::NAT_V6_MIN, attr::NAT_V6_MAX].map(|end| nat.put(end, &addr.octets())),
        };
        nat.nest(attr::NAT_PROTO, |proto| {
            for end in [attr::PORT_MIN, attr::PORT_MAX] {
                proto.put(end, &to.port().to_be_bytes());
            }
        });
    });
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (attribute(attributes, attr::TUPLE_IP)?, attribute(attributes, attr::TUPLE_PROTO)?);
    let addr = |v4, v6| match (attribute(ip, v4), attribute(ip, v6)) {
        (Some(addr), _) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(addr).ok()?).into()),
        (None, Some(addr)) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(addr).ok()?).into()),
        (None, None) => None::<IpAddr>,
    };
    let port = |kind| attribute(proto, kind).and_then(be16);
    let (src, dst) = (addr(attr::V4_SRC, attr::V6_SRC)?, addr(attr::V4_DST, attr::V6_DST)?);
    (src.is_ipv4() == dst.is_ipv4()).then_some(())?;
    Some(Tuple {
        src: SocketAddr::new(src, port(attr::SRC_PORT)?),
        dst: SocketAddr::new(dst, port(attr::DST_PORT)?),
        protocol: *attribute(proto, attr::NUMBER)?.first()?,
    })
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn be16(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
#[path = "entry/tests.rs"]
mod tests;
