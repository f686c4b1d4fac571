//! Whose a packet is, by what the services are called: the tables and svclb's own parser have no part in it.

use std::net::{IpAddr, SocketAddr};

use super::{
    seeds::{CIDRS, services},
    view::{Addr, SCTP, TCP, UDP, View, mapped},
};

/// One end of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    /// Not for node ports. They are on all addresses of the node, and on those of other nodes for a packet that came in
    /// another one; the client's next may come alone.
    addr: Option<Addr>,
    is_v6: bool,
    port: u16,
    proto: u8,
}

/// The node's addresses.
const NODE: [&str; 10] = [
    "192.0.2.1",
    "2001:db8::1",
    "10.244.1.1",
    "fd00:244:1::1",
    "192.0.3.1",
    "2001:db8:3::1",
    "192.0.9.1",
    "2001:db8:9::1",
    "172.16.3.1",
    "2001:db8:4::1",
];

/// The ends of all services.
pub(super) struct Ends {
    frontends: Vec<End>,
    backends: Vec<End>,
    /// Frontends of services without a backend in the frontend's family.
    unserved: Vec<End>,
    /// Whether the ranges of addresses that only Services have are known.
    has_ranges: bool,
    /// Prefixes and their lengths in bytes.
    ranges: Vec<(Addr, usize)>,
    /// Whether addresses of Services answer to echo.
    has_echo: bool,
}

/// Why a packet may be another one when it leaves a program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    /// It is to a frontend or from a backend.
    Service,
    /// It tells somebody about such a packet.
    About(View),
    /// It is an error of which nothing is known, to an address of a Service: nobody is to have it.
    Address,
    /// It carries a packet to a frontend to the node of a backend.
    Carrying(View),
    /// It is an error about a packet that carried such a packet.
    Around(View),
    /// It asks whether an address of a Service is there.
    Echo,
}

impl Ends {
    /// Those of the services that the tables hold.
    pub(super) fn new(has_ranges: bool, has_echo: bool) -> Self {
        let (mut frontends, mut backends, mut unserved) = (Vec::new(), Vec::new(), Vec::new());
        for service in services().values() {
            let targets: Vec<End> = service.backends.iter().map(|text| end(text)).collect();
            for frontend in &service.frontends {
                let (kind, text) = frontend.split_once(' ').expect("a kind before the address");
                let frontend = if kind == "node-port" { node_port(text) } else { end(text) };
                if targets.iter().all(|target| target.is_v6 != frontend.is_v6) {
                    unserved.push(frontend);
                }
                frontends.push(frontend);
            }
            backends.extend(targets);
        }
        let ranges = CIDRS.map(|text| {
            let (text, bits) = text.split_once('/').expect("a length");
            let (ip, bits): (IpAddr, usize) =
                (text.parse().expect("an address"), bits.parse().expect("bits"));
            (addr(ip), if ip.is_ipv4() { 96 + bits } else { bits } / 8)
        });
        Self { frontends, backends, unserved, has_ranges, ranges: ranges.to_vec(), has_echo }
    }

    /// Whose the packet of a frame is; nobody's is the stack's.
    pub(super) fn whose(&self, view: &View, frame: &[u8]) -> Option<Whose> {
        if view.is_icmp() {
            let is_address =
                self.is_vip(&view.dst) || self.frontends.iter().any(|end| end.addr == Some(view.dst));
            if self.has_echo && is_address && view.is_echo(frame) {
                return Some(Whose::Echo);
            }
            let carried = view.quoted(frame).and_then(|outer| outer.inner(frame));
            if let Some(inner) = carried.filter(|inner| inner.is_transport() && self.is_to_one(inner)) {
                return Some(Whose::Around(inner));
            }
            let about = view.quoted(frame).filter(|quote| self.was_translated(quote)).map(Whose::About);
            let is_stray = self.is_vacant(view) || view.is_error(frame) && self.is_a_services(&view.dst);
            return about.or(is_stray.then_some(Whose::Address));
        }
        if let Some(inner) = view.inner(frame)
            && (inner.is_transport() && self.is_to_one(&inner)
                || inner.quoted(frame).is_some_and(|quote| self.was_translated(&quote)))
        {
            return Some(Whose::Carrying(inner));
        }
        // A fragment need not tell its transport.
        let is_ours =
            (view.is_transport() || view.is_fragment) && (self.is_to_one(view) || self.is_from_one(view));
        is_ours.then_some(Whose::Service)
    }

    /// Whether a quoted packet has other ends than when it was sent: its answers would come the other way.
    fn was_translated(&self, quote: &View) -> bool {
        let is_ours = self.is_backend(&quote.dst, quote.ports.map(|ports| ports.1), quote)
            || self.is_frontend(&quote.src, quote.ports.map(|ports| ports.0), quote);
        is_ours && quote.is_transport()
    }

    /// Whether the packet is to a frontend, or to an address that only a Service could have.
    pub(super) fn is_to_one(&self, view: &View) -> bool {
        self.is_frontend(&view.dst, view.ports.map(|ports| ports.1), view) || self.is_vacant(view)
    }

    /// Whether the packet is from a backend.
    pub(super) fn is_from_one(&self, view: &View) -> bool {
        self.is_backend(&view.src, view.ports.map(|ports| ports.0), view)
    }

    /// Whether a translated packet is to a backend, or comes from a frontend as far as its receiver knows.
    pub(super) fn is_translated(&self, view: &View) -> bool {
        self.is_backend(&view.dst, view.ports.map(|ports| ports.1), view)
            || self.is_frontend(&view.src, view.ports.map(|ports| ports.0), view)
    }

    /// Whether who sends that packet may be told that nobody is there.
    pub(super) fn is_refusable(&self, view: &View) -> bool {
        self.is_vacant(view) || Self::find(&self.unserved, &view.dst, view.ports.map(|ports| ports.1), view)
    }

    /// Whether it is an address of the node.
    pub(super) fn is_nodes(addr: &Addr) -> bool {
        NODE.iter().any(|text| text.parse().is_ok_and(|ip: IpAddr| self::addr(ip) == *addr))
    }

    /// Whether it is the address of a backend.
    pub(super) fn is_backend_addr(&self, addr: &Addr) -> bool {
        self.backends.iter().any(|end| end.addr == Some(*addr))
    }

    /// Whether it is an address of a Service, or could be.
    fn is_a_services(&self, addr: &Addr) -> bool {
        self.has_ranges && self.is_vip(addr) || self.frontends.iter().any(|end| end.addr == Some(*addr))
    }

    fn is_vacant(&self, view: &View) -> bool {
        self.has_ranges && self.is_vip(&view.dst)
    }

    fn is_vip(&self, addr: &Addr) -> bool {
        self.ranges.iter().any(|(prefix, len)| prefix[..*len] == addr[..*len])
    }

    fn is_frontend(&self, addr: &Addr, port: Option<u16>, view: &View) -> bool {
        Self::find(&self.frontends, addr, port, view)
    }

    fn is_backend(&self, addr: &Addr, port: Option<u16>, view: &View) -> bool {
        Self::find(&self.backends, addr, port, view)
    }

    /// Ports of fragments are those of the first one, if it was seen.
    fn find(ends: &[End], addr: &Addr, port: Option<u16>, view: &View) -> bool {
        let is_any_port = view.is_fragment;
        ends.iter().any(|end| {
            (is_any_port || Some(end.port) == port && end.proto == view.proto)
                && end.is_v6 == view.is_v6
                && end.addr.is_none_or(|own| own == *addr)
        })
    }
}

/// `<address>:<port>/<protocol>`, and perhaps a word.
fn end(text: &str) -> End {
    let text = text.strip_suffix(" local").unwrap_or(text);
    let (place, protocol) = text.split_once('/').expect("a protocol");
    let place: SocketAddr = place.parse().expect("address and port");
    End { addr: Some(addr(place.ip())), is_v6: place.is_ipv6(), port: place.port(), proto: number(protocol) }
}

/// `<family>:<port>/<protocol>`.
fn node_port(text: &str) -> End {
    let (family, rest) = text.split_once(':').expect("a family");
    let (port, protocol) = rest.split_once('/').expect("a protocol");
    End { addr: None, is_v6: family == "ipv6", port: port.parse().expect("a port"), proto: number(protocol) }
}

fn addr(ip: IpAddr) -> Addr {
    match ip {
        IpAddr::V4(ip) => mapped(ip.octets()),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn number(protocol: &str) -> u8 {
    match protocol {
        "tcp" => TCP,
        "udp" => UDP,
        "sctp" => SCTP,
        other => panic!("no protocol {other}"),
    }
}
