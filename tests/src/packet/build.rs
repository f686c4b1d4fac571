//! From a description to bytes, by etherparse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn,
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header,
    TcpHeader, UdpHeader, checksum::Sum16BitWords,
};

use super::{Body, Check, Flag, Icmp, Outer, Packet, Tcp, sctp};

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;

impl Packet {
    /// The frame's bytes, with every checksum in place.
    ///
    /// # Panics
    /// If a field is larger than its header holds: the description is wrong.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = self.link();
        let inner = self.ip();
        match self.outer {
            Some(outer) => {
                frame.extend(self.outer_headers(outer, inner.len()));
                frame.extend(inner);
            }
            None => frame.extend(inner),
        }
        frame.extend(std::iter::repeat_n(0, self.padding));
        frame
    }

    fn link(&self) -> Vec<u8> {
        let own = if self.src.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let ethernet = Ethernet2Header {
            source: self.from,
            destination: self.to,
            ether_type: self.ethertype.map_or(own, EtherType),
        };
        ethernet.to_bytes().to_vec()
    }

    /// The IP packet, without one around it.
    fn ip(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let upper = self.upper();
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => frame.extend(self.ipv4(src, dst, upper.len()).to_bytes()),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.ipv6(&mut frame, src, dst, upper.len()),
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        }
        frame.extend(upper);
        frame
    }

    /// What an ICMP error about this packet quotes: the IP header and so many bytes, as far as there are.
    pub fn quoted(&self, bytes: usize) -> Vec<u8> {
        let header = if self.src.is_ipv4() {
            Ipv4Header::MIN_LEN + self.options.len()
        } else {
            let fragment = if self.fragment.is_some() { Ipv6FragmentHeader::LEN } else { 0 };
            Ipv6Header::LEN
                + self.extensions.iter().map(|header| header.bytes(0).len()).sum::<usize>()
                + fragment
        };
        let frame = self.frame();
        let end = ETHERNET.saturating_add(header).saturating_add(bytes).min(frame.len() - self.padding);
        frame[ETHERNET..end].to_vec()
    }

    /// The headers around `len` bytes: traffic class, flow label and "don't fragment" are those of
    /// the packet inside.
    fn outer_headers(&self, outer: Outer, len: usize) -> Vec<u8> {
        let udp = outer.ports.map(|(sport, dport)| UdpHeader {
            source_port: sport,
            destination_port: dport,
            length: u16::try_from(UdpHeader::LEN + len).expect("a packet of at most 64 KiB"),
            checksum: 0,
        });
        let same = if self.src.is_ipv4() { IpNumber::IPV4 } else { IpNumber::IPV6 };
        let proto = if udp.is_some() { IpNumber::UDP } else { same };
        let around = Self {
            src: outer.src,
            dst: outer.dst,
            ttl: outer.ttl,
            id: if self.df { 0 } else { self.id },
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            body: Body::Other(proto.0),
            payload: udp.map(|udp| udp.to_bytes().to_vec()).unwrap_or_default(),
            outer: None,
            ..self.clone()
        };
        let header = around.payload.len();
        let mut bytes = match (around.src, around.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => around.ipv4(src, dst, header + len).to_bytes().to_vec(),
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut bytes = Vec::new();
                around.ipv6(&mut bytes, src, dst, header + len);
                bytes
            }
            _ => panic!("{} and {} are of two families", around.src, around.dst),
        };
        bytes.extend(around.payload);
        bytes
    }

    /// What "too big" about this packet quotes: 128 bytes.
    pub fn quoted_long(&self) -> Vec<u8> {
        self.ip()[..128].to_vec()
    }

    fn proto(&self) -> IpNumber {
        match self.body {
            Body::Tcp(_) => IpNumber::TCP,
            Body::Udp { .. } => IpNumber::UDP,
            Body::Sctp(_) => IpNumber(sctp::PROTOCOL),
            Body::Other(proto) => IpNumber(proto),
            Body::Icmp(_) if self.src.is_ipv4() => IpNumber::ICMP,
            Body::Icmp(_) => IpNumber::IPV6_ICMP,
        }
    }

    fn ipv4(&self, src: Ipv4Addr, dst: Ipv4Addr, len: usize) -> Ipv4Header {
        let fragment = self.fragment;
        let mut header = Ipv4Header {
            dscp: IpDscp::try_new(self.tos >> 2).expect("six bits"),
            ecn: IpEcn::try_new(self.tos & 3).expect("two bits"),
            total_len: 0,
            identification: self.id,
            dont_fragment: self.df,
            more_fragments: fragment.is_some_and(|fragment| fragment.more),
            fragment_offset: offset(fragment.map_or(0, |fragment| fragment.offset)),
            time_to_live: self.ttl,
            protocol: self.proto(),
            header_checksum: 0,
            source: src.octets(),
            destination: dst.octets(),
            options: Ipv4Options::try_from(&self.options[..]).expect("whole words, at most ten"),
        };
        header.set_payload_len(len).expect("a packet of at most 64 KiB");
        header.header_checksum = header.calc_header_checksum();
        header
    }

    fn ipv6(&self, frame: &mut Vec<u8>, src: Ipv6Addr, dst: Ipv6Addr, len: usize) {
        // From the last one to the first, each naming the one behind it.
        let mut next = self.proto();
        let mut chain = Vec::new();
        if let Some(fragment) = self.fragment {
            let header = Ipv6FragmentHeader {
                next_header: next,
                fragment_offset: offset(fragment.offset),
                more_fragments: fragment.more,
                identification: self.id.into(),
            };
            chain = header.to_bytes().to_vec();
            next = IpNumber::IPV6_FRAGMENTATION_HEADER;
        }
        for extension in self.extensions.iter().rev() {
            chain = [extension.bytes(next.0), chain].concat();
            next = IpNumber(extension.number());
        }
        let len = len + chain.len();
        let header = Ipv6Header {
            traffic_class: self.tos,
            flow_label: Ipv6FlowLabel::try_new(self.flow).expect("20 bits"),
            payload_length: u16::try_from(len).expect("a packet of at most 64 KiB"),
            next_header: next,
            hop_limit: self.ttl,
            source: src.octets(),
            destination: dst.octets(),
        };
        frame.extend(header.to_bytes());
        frame.extend(chain);
    }

    /// The transport header and the payload.
    fn upper(&self) -> Vec<u8> {
        let mut bytes = match &self.body {
            Body::Tcp(tcp) => self.tcp(tcp).to_bytes().to_vec(),
            Body::Udp { sport, dport, check } => self.udp(*sport, *dport, *check).to_bytes().to_vec(),
            Body::Sctp(sctp) => return sctp.bytes(&self.payload),
            Body::Other(_) => Vec::new(),
            Body::Icmp(icmp) => self.icmp(*icmp),
        };
        bytes.extend(&self.payload);
        bytes
    }

    fn tcp(&self, tcp: &Tcp) -> TcpHeader {
        let is_set = |flag| tcp.flags.contains(&flag);
        let mut header = TcpHeader::new(tcp.sport, tcp.dport, tcp.seq, tcp.window);
        header.acknowledgment_number = tcp.ack;
        header.syn = is_set(Flag::Syn);
        header.ack = is_set(Flag::Ack);
        header.fin = is_set(Flag::Fin);
        header.rst = is_set(Flag::Rst);
        header.psh = is_set(Flag::Psh);
        header.set_options_raw(&tcp.options).expect("at most ten words of options");
        let len = header.header_len() + self.payload.len();
        header.checksum = match (tcp.check, self.src, self.dst) {
            (Check::None, ..) => 0,
            (Check::Partial, ..) => self.pseudo_header(IpNumber::TCP, len),
            (Check::Full, IpAddr::V4(src), IpAddr::V4(dst)) => {
                header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), &self.payload).expect("it fits")
            }
            (Check::Full, IpAddr::V6(src), IpAddr::V6(dst)) => {
                header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), &self.payload).expect("it fits")
            }
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        };
        header
    }

    fn udp(&self, sport: u16, dport: u16, check: Check) -> UdpHeader {
        let len = UdpHeader::LEN + self.payload.len();
        let mut header = UdpHeader {
            source_port: sport,
            destination_port: dport,
            length: u16::try_from(len).expect("a packet of at most 64 KiB"),
            checksum: 0,
        };
        header.checksum = match (check, self.src, self.dst) {
            (Check::None, ..) => 0,
            (Check::Partial, ..) => self.pseudo_header(IpNumber::UDP, len),
            (Check::Full, IpAddr::V4(src), IpAddr::V4(dst)) => {
                header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), &self.payload).expect("it fits")
            }
            (Check::Full, IpAddr::V6(src), IpAddr::V6(dst)) => {
                header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), &self.payload).expect("it fits")
            }
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        };
        header
    }

    /// The sum that is left for a device to complete: not complemented.
    fn pseudo_header(&self, proto: IpNumber, len: usize) -> u16 {
        let sum = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                Sum16BitWords::new().add_4bytes(src.octets()).add_4bytes(dst.octets())
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Sum16BitWords::new().add_16bytes(src.octets()).add_16bytes(dst.octets())
            }
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        };
        let len = u16::try_from(len).expect("a packet of at most 64 KiB");
        !sum.add_2bytes([0, proto.0]).add_2bytes(len.to_be_bytes()).ones_complement().to_be()
    }

    fn icmp(&self, icmp: Icmp) -> Vec<u8> {
        match (self.src, self.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let ([type_u8, code_u8], bytes5to8) = v4(icmp);
                let kind = Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8 };
                Icmpv4Header::with_checksum(kind, &self.payload).to_bytes().to_vec()
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let ([type_u8, code_u8], bytes5to8) = v6(icmp);
                let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8 };
                let header = Icmpv6Header::with_checksum(kind, src.octets(), dst.octets(), &self.payload)
                    .expect("it fits");
                header.to_bytes().to_vec()
            }
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        }
    }
}

/// What echoes carry to be told apart.
const ECHO: [u8; 4] = [0x12, 0x34, 0, 1];

/// Type and code, and what is beside them: RFC 792, RFC 1191.
fn v4(icmp: Icmp) -> ([u8; 2], [u8; 4]) {
    match icmp {
        Icmp::PortUnreachable => ([3, 3], [0; 4]),
        Icmp::TooBig(mtu) => ([3, 4], u32::from(mtu).to_be_bytes()),
        Icmp::TimeExceeded => ([11, 0], [0; 4]),
        Icmp::ParameterProblem => ([12, 0], [20, 0, 0, 0]),
        Icmp::Redirect => ([5, 1], [192, 0, 2, 9]),
        Icmp::EchoRequest => ([8, 0], ECHO),
        Icmp::EchoReply => ([0, 0], ECHO),
    }
}

/// The same of RFC 4443.
fn v6(icmp: Icmp) -> ([u8; 2], [u8; 4]) {
    match icmp {
        Icmp::PortUnreachable => ([1, 4], [0; 4]),
        Icmp::TooBig(mtu) => ([2, 0], u32::from(mtu).to_be_bytes()),
        Icmp::TimeExceeded => ([3, 0], [0; 4]),
        Icmp::ParameterProblem => ([4, 0], [0, 0, 0, 40]),
        Icmp::Redirect => panic!("ICMPv6 redirects are of another form"),
        Icmp::EchoRequest => ([128, 0], ECHO),
        Icmp::EchoReply => ([129, 0], ECHO),
    }
}

fn offset(units: u16) -> IpFragOffset {
    IpFragOffset::try_new(units).expect("13 bits")
}
