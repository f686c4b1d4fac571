//! Routers and receivers that complain, and what their complaints say afterwards.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpHeaders, IpNumber, Ipv4Header, Ipv4Options,
    Ipv6Header, NetHeaders, PacketBuilder,
};
use svclb_common::{
    balance::{Place, Scratch},
    icmp::{Heard, Message, hear},
    key::FlowKey,
    packet::Unparsed,
    wire::{Cursor, Eth},
};

use super::{
    Net, World,
    frame::{headers, verify},
    path::{Outcome, Verdict},
};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreachable,
    TooBig,
    TimeExceeded,
    Parameter,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Unreachable, Self::TooBig, Self::TimeExceeded, Self::Parameter];

    /// Type and code by RFC 792 and RFC 1191.
    fn v4(self) -> [u8; 2] {
        match self {
            Self::Unreachable => [3, 3],
            Self::TooBig => [3, 4],
            Self::TimeExceeded => [11, 0],
            Self::Parameter => [12, 0],
        }
    }

    /// Type and code by RFC 4443.
    fn v6(self) -> [u8; 2] {
        match self {
            Self::Unreachable => [1, 4],
            Self::TooBig => [2, 0],
            Self::TimeExceeded => [3, 0],
            Self::Parameter => [4, 0],
        }
    }
}

/// An ICMP error.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    pub(crate) by: IpAddr,
    pub(crate) to: IpAddr,
    /// Type and code.
    pub(crate) kind: [u8; 2],
    /// What is beside them: the next link's MTU, for one.
    pub(crate) rest: [u8; 4],
    /// Options of the IPv4 header.
    pub(crate) options: Vec<u8>,
    pub(crate) quote: Vec<u8>,
}

/// The error that `by` sends about a frame, of which it quotes as much as it can.
pub(crate) fn complaint(by: IpAddr, fault: Fault, about: &[u8]) -> Complaint {
    let to = source(about);
    let kind = if to.is_ipv4() { fault.v4() } else { fault.v6() };
    let rest = if fault == Fault::TooBig { 1300_u32 } else { 0 }.to_be_bytes();
    Complaint { by, to, kind, rest, options: Vec::new(), quote: about[ETHERNET..].to_vec() }
}

impl Complaint {
    /// With so many bytes of the quoted packet behind its IP header.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        let header = if self.to.is_ipv4() { usize::from(self.quote[0] & 15) * 4 } else { Ipv6Header::LEN };
        self.quote.truncate(header + bytes);
        self
    }

    /// The frame.
    pub(crate) fn build(&self) -> Vec<u8> {
        let [kind, code] = self.kind;
        let (number, upper, ip) = match (self.by, self.to) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let icmp = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: self.rest };
                let mut header = Ipv4Header::new(0, 50, IpNumber::ICMP, src.octets(), dst.octets()).unwrap();
                header.options = Ipv4Options::try_from(self.options.as_slice()).unwrap();
                (
                    IpNumber::ICMP,
                    Icmpv4Header::with_checksum(icmp, &self.quote).to_bytes().to_vec(),
                    IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()),
                )
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let icmp = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: self.rest };
                let (source, destination) = (src.octets(), dst.octets());
                let header = Ipv6Header { source, destination, hop_limit: 50, ..Ipv6Header::default() };
                (
                    IpNumber::IPV6_ICMP,
                    Icmpv6Header::with_checksum(icmp, source, destination, &self.quote)
                        .unwrap()
                        .to_bytes()
                        .to_vec(),
                    IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default()),
                )
            }
            ends => panic!("{ends:?} are of two families"),
        };
        let payload = [upper, self.quote.clone()].concat();
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ip(ip);
        builder.write(&mut frame, number, &payload).unwrap();
        frame
    }
}

/// What became of a complaint, as its receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) verdict: Verdict,
    pub(crate) by: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) quote: Vec<u8>,
}

/// The source address of a frame.
fn source(frame: &[u8]) -> IpAddr {
    ips(frame).0
}

/// Its source and destination address.
pub(crate) fn ips(frame: &[u8]) -> (IpAddr, IpAddr) {
    match headers(frame).net.unwrap() {
        NetHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
        NetHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
        NetHeaders::Arp(_) => panic!("no IP"),
    }
}

impl<F: Net> World<F> {
    /// The steps of the kernel's program for an ICMP message.
    pub(super) fn hear(&self, place: Place, frame: &mut [u8]) -> Verdict {
        let mut cursor = Cursor::from(frame);
        let Some(eth) = cursor.take::<Eth>() else { return Verdict::Unparsed(Unparsed::Short) };
        let Ok(mut message) = Message::<F>::parse(eth, cursor) else { return Verdict::NotOurs };
        let zero = F::addr(F::host(0));
        let empty = FlowKey { src: zero, dst: zero, sport: 0, dport: 0, proto: 0, hook: 0, pad: 0 };
        let mut scratch = Scratch::new(empty);
        match hear(self, place.hook, &message, &mut scratch.key) {
            Heard::NotOurs => Verdict::NotOurs,
            Heard::Echo => {
                message.answer();
                Verdict::Echoed
            }
            Heard::Dropped(reason) => Verdict::Dropped(reason),
            Heard::About(entry) if entry.recipe.is_one_way() => {
                Verdict::Tunnelled(F::ip(entry.recipe.src), F::ip(entry.recipe.dst))
            }
            Heard::About(entry) => {
                let ends = message.ends(&entry.recipe);
                message.rewrite(&entry.recipe, ends);
                Verdict::Translated(entry.recipe.action(), entry.hop.device())
            }
        }
    }

    /// Sends a complaint. Its receiver must find all checksums right, and nothing changed
    /// but what translation changes; the tables must not notice.
    pub(crate) fn tell(&self, place: Place, complaint: &Complaint) -> Told {
        self.told(complaint, |frame| self.pass(place, frame))
    }

    /// The same of one that comes in a packet to `to`.
    pub(crate) fn tell_inside(&self, to: IpAddr, complaint: &Complaint) -> Told {
        self.told(complaint, |frame| self.pass_inside(to, frame))
    }

    fn told(&self, complaint: &Complaint, pass: impl FnOnce(&[u8]) -> Outcome) -> Told {
        let before = complaint.build();
        let tables = self.life();
        let Outcome { verdict, frame } = pass(&before);
        assert_eq!(tables, self.life(), "a complaint is no sign of life");
        verify(&frame);
        assert_eq!(frame.len(), before.len());
        if !matches!(verdict, Verdict::Translated(..)) {
            assert_eq!(before, frame, "{verdict:?} must leave the frame alone");
        }
        let behind = frame.len() - complaint.quote.len();
        assert_eq!(frame[behind - 8..behind - 6], complaint.kind);
        assert_eq!(frame[behind - 4..behind], complaint.rest);
        let (by, to) = ips(&frame);
        Told { verdict, by, to, quote: frame[behind..].to_vec() }
    }

    /// All that is remembered of flows.
    fn life(&self) -> Vec<String> {
        let entries = [self.flows.all(), self.half_open.all()].into_iter().flatten();
        let mut life: Vec<_> = entries.map(|entry| format!("{entry:?}")).collect();
        life.sort();
        life
    }
}
