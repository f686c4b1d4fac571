//! From a description to bytes, by etherparse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn,
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header,
    TcpHeader, UdpHeader, checksum::Sum16BitWords, icmpv4, icmpv6,
};

use super::{Body, Check, Flag, Outer, Packet, Tcp};

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

    /// What an ICMP error about this packet quotes: the IP header and 8 bytes.
    pub fn quoted(&self) -> Vec<u8> {
        let header =
            if self.src.is_ipv4() { Ipv4Header::MIN_LEN + self.options.len() } else { Ipv6Header::LEN };
        self.frame()[ETHERNET..ETHERNET + header + 8].to_vec()
    }

    fn proto(&self) -> IpNumber {
        match self.body {
            Body::Tcp(_) => IpNumber::TCP,
            Body::Udp { .. } => IpNumber::UDP,
            Body::Other(proto) => IpNumber(proto),
            Body::PortUnreachable | Body::TooBig(_) if self.src.is_ipv4() => IpNumber::ICMP,
            Body::PortUnreachable | Body::TooBig(_) => IpNumber::IPV6_ICMP,
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
        let extension = self.fragment.map(|fragment| Ipv6FragmentHeader {
            next_header: self.proto(),
            fragment_offset: offset(fragment.offset),
            more_fragments: fragment.more,
            identification: self.id.into(),
        });
        let len = len + extension.as_ref().map_or(0, Ipv6FragmentHeader::header_len);
        let header = Ipv6Header {
            traffic_class: self.tos,
            flow_label: Ipv6FlowLabel::try_new(self.flow).expect("20 bits"),
            payload_length: u16::try_from(len).expect("a packet of at most 64 KiB"),
            next_header: if extension.is_some() { IpNumber::IPV6_FRAGMENTATION_HEADER } else { self.proto() },
            hop_limit: self.ttl,
            source: src.octets(),
            destination: dst.octets(),
        };
        frame.extend(header.to_bytes());
        frame.extend(extension.iter().flat_map(Ipv6FragmentHeader::to_bytes));
    }

    /// The transport header and the payload.
    fn upper(&self) -> Vec<u8> {
        let mut bytes = match &self.body {
            Body::Tcp(tcp) => self.tcp(tcp).to_bytes().to_vec(),
            Body::Udp { sport, dport, check } => self.udp(*sport, *dport, *check).to_bytes().to_vec(),
            Body::Other(_) => Vec::new(),
            Body::PortUnreachable => self.error(
                Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port),
                Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port),
            ),
            Body::TooBig(mtu) => {
                let needed = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: *mtu };
                let too_big = Icmpv6Type::PacketTooBig { mtu: (*mtu).into() };
                self.error(Icmpv4Type::DestinationUnreachable(needed), too_big)
            }
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

    fn error(&self, v4: Icmpv4Type, v6: Icmpv6Type) -> Vec<u8> {
        match (self.src, self.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                Icmpv4Header::with_checksum(v4, &self.payload).to_bytes().to_vec()
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Icmpv6Header::with_checksum(v6, src.octets(), dst.octets(), &self.payload);
                header.expect("it fits").to_bytes().to_vec()
            }
            _ => panic!("{} and {} are of two families", self.src, self.dst),
        }
    }
}

fn offset(units: u16) -> IpFragOffset {
    IpFragOffset::try_new(units).expect("13 bits")
}
