//! Services as fixtures write them, and their way into the maps.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use svclb::{
    model::{self, Algorithm, Backend, BackendState, Lists, Rate},
    plan::{layout::layout, map_policy},
};
use svclb_common::{
    family::{Addr4, Addr6},
    key::FrontendKey,
    layout::map,
    line::{LINE, Line},
    service::{
        BACKEND_FREE, BACKEND_LOCAL, BackendHead, Frontend, FrontendKind, LOCAL_ADDRESS, LOCAL_NODE_PORTS,
        Policy, SERVICE_EXTERNAL_LOCAL, SERVICE_HAS_ENDPOINTS, SERVICE_INTERNAL_LOCAL, SERVICE_RESTRICTED,
        Slab, filter, node_port_index,
    },
    wire::Transport,
};

use super::{
    cidr::Cidr,
    lab::{Lab, of},
    node::{ADDRESSES, Device, Node},
};

/// Services by name.
pub type Services = BTreeMap<String, Service>;

/// A service port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// `<kind> <address>:<port>/<protocol>`.
    frontends: Vec<String>,
    /// `<address>:<port>/<protocol>`, with `local` behind it for a pod of this node.
    backends: Vec<String>,
    /// `Local`, or nothing for `Cluster`.
    internal_traffic_policy: TrafficPolicy,
    /// The same for external traffic.
    external_traffic_policy: TrafficPolicy,
    /// Seconds of session affinity; 0 is none.
    session_affinity: u32,
    /// How backends are chosen; at random unless told. Hashes go by a Maglev table of [`TABLE`] slots.
    algorithm: Option<String>,
    /// New flows that it takes in a second; 0 is any number.
    max_new_flows_per_second: u32,
    /// Who may use the load balancer addresses; in a family without any, everybody may.
    source_ranges: Vec<Cidr>,
}

/// Slots of a Maglev table.
const TABLE: u32 = 251;

/// Which backends traffic selects from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum TrafficPolicy {
    /// All of them.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

/// What was written, by the names that the fixture gave.
#[derive(Debug, Default)]
pub struct Written {
    services: BTreeMap<String, (u32, Service)>,
    backends: BTreeMap<SocketAddr, u32>,
    slots: u32,
}

/// Number of a cell: 0 is none, and a small number could be one by chance.
const FIRST_SERVICE: u32 = 5;
const FIRST_BACKEND: u32 = 70;

impl Written {
    /// Fills the maps of a node that is known to the world by [`ADDRESSES`]. Node ports
    /// answer on those that `has_node_ports` holds for.
    pub fn new(
        lab: &mut Lab,
        node: &Node,
        services: &Services,
        has_node_ports: impl Fn(IpAddr) -> bool,
    ) -> anyhow::Result<Self> {
        lab.open_to(node.index(Device::Second))?;
        for (device, address) in ADDRESSES {
            let (device, address) = (node.index(device), address.parse()?);
            let flags = LOCAL_ADDRESS | if has_node_ports(address) { LOCAL_NODE_PORTS } else { 0 };
            match address {
                IpAddr::V4(addr) => {
                    lab.insert("LOCALS_V4", Addr4::from(addr), flags)?;
                    lab.insert("SOURCES_V4", device, Addr4::from(addr))?;
                }
                IpAddr::V6(addr) => {
                    lab.insert("LOCALS_V6", Addr6::from(addr), flags)?;
                    lab.insert("SOURCES_V6", device, Addr6::from(addr))?;
                }
            }
        }
        let mut written = Self::default();
        for (name, service) in services {
            let id = FIRST_SERVICE + written.services.len() as u32;
            written.services.insert(name.clone(), (id, service.clone()));
            for range in &service.source_ranges {
                range.admit(lab, id).with_context(|| format!("{name}: {range:?}"))?;
            }
            written.spend(lab, name, 0)?;
            written.serve(lab, name, &service.backends)?;
            for frontend in &service.frontends {
                written.frontend(lab, name, frontend).with_context(|| format!("{name}: `{frontend}`"))?;
            }
        }
        Ok(written)
    }

    /// The cell of a service, the same number in both families.
    pub fn service(&self, name: &str) -> anyhow::Result<u32> {
        self.services.get(name).map(|(id, _)| *id).with_context(|| format!("no service {name}"))
    }

    /// The cell of a backend.
    pub fn backend(&self, addr: SocketAddr) -> anyhow::Result<u32> {
        self.backends.get(&addr).copied().with_context(|| format!("no backend {addr}"))
    }

    /// Gives a service other backends, in the order of the agent's writes: backends,
    /// slots, then the words that lead to them. Those of this node are the local list.
    pub fn serve(&mut self, lab: &mut Lab, name: &str, backends: &[String]) -> anyhow::Result<()> {
        let (id, service) = self.services.get(name).cloned().with_context(|| format!("no service {name}"))?;
        for is_v4 in [true, false] {
            let mut found = Vec::new();
            for text in backends {
                let (backend, is_local) =
                    text.strip_suffix(" local").map_or((&text[..], false), |text| (text, true));
                let (addr, transport) = port(backend).with_context(|| format!("{name}: `{text}`"))?;
                if addr.is_ipv4() == is_v4 {
                    found.push((self.write_backend(lab, addr, transport, is_local)?, addr, is_local));
                }
            }
            let algorithm = service.algorithm()?;
            let of = |is_listed: &dyn Fn(bool) -> bool| {
                let listed = found.iter().filter(|(.., local)| is_listed(*local));
                slots(algorithm, &listed.map(|(id, addr, _)| (*id, *addr)).collect::<Vec<_>>())
            };
            let (cluster, local) = (of(&|_| true), of(&|local| local));
            let cluster = self.write_slots(lab, is_v4, cluster.into_iter())?;
            let local = self.write_slots(lab, is_v4, local.into_iter())?;
            set_service(lab, is_v4, id, [cluster, local], service.policy(is_v4, !found.is_empty())?)?;
        }
        Ok(())
    }

    fn write_slots(
        &mut self,
        lab: &mut Lab,
        is_v4: bool,
        backends: impl Iterator<Item = u32>,
    ) -> anyhow::Result<Slab> {
        let base = self.slots;
        for id in backends {
            lab.set(&of(map::SLOTS, is_v4), self.slots, id)?;
            self.slots += 1;
        }
        Ok(Slab { base, len: self.slots - base })
    }

    fn write_backend(
        &mut self,
        lab: &mut Lab,
        addr: SocketAddr,
        transport: Transport,
        is_local: bool,
    ) -> anyhow::Result<u32> {
        let next = FIRST_BACKEND + self.backends.len() as u32;
        let id = *self.backends.entry(addr).or_insert(next);
        let flags = if is_local { BACKEND_LOCAL } else { 0 };
        let head = BackendHead { port: addr.port().to_be(), proto: transport.number(), flags };
        let generation = cell(lab, addr, id)?.generation;
        set_cell(lab, addr, id, Cell { head, generation })?;
        Ok(id)
    }

    /// Gives up a backend's cell, as the agent does when nothing names it any more.
    pub fn retire(&self, lab: &mut Lab, addr: SocketAddr) -> anyhow::Result<()> {
        let id = self.backend(addr)?;
        let Cell { head, generation } = cell(lab, addr, id)?;
        let head = BackendHead { flags: head.flags | BACKEND_FREE, ..head };
        set_cell(lab, addr, id, Cell { head, generation: generation + 1 })
    }

    /// Says until when a service has taken all the new flows that it takes, in nanoseconds.
    pub fn spend(&self, lab: &mut Lab, name: &str, until: u64) -> anyhow::Result<()> {
        let service = self.service(name)?;
        [true, false].into_iter().try_for_each(|is_v4| lab.spend(is_v4, service, until))
    }

    /// Makes a service point at slots that name no backend: what a broken agent could do.
    pub fn break_slots(&self, lab: &mut Lab, name: &str) -> anyhow::Result<()> {
        let service = self.service(name)?;
        [true, false].into_iter().try_for_each(|is_v4| {
            lab.set(&of(map::SLOTS, is_v4), self.slots, 0_u32)?;
            let broken = Slab { base: self.slots, len: 1 };
            set_service(lab, is_v4, service, [broken; 2], Policy::default())
        })
    }

    fn frontend(&self, lab: &mut Lab, name: &str, text: &str) -> anyhow::Result<()> {
        let service = self.service(name)?;
        let (kind, port_text) = text.split_once(' ').context("no kind of frontend before the address")?;
        let kind = match kind {
            "cluster-ip" => FrontendKind::ClusterIp,
            "external-ip" => FrontendKind::ExternalIp,
            "load-balancer" => FrontendKind::LoadBalancer,
            "node-port" => {
                let (family, rest) = port_text.split_once(':').context("no family before the port")?;
                let is_v4 = match family {
                    "ipv4" => true,
                    "ipv6" => false,
                    other => bail!("no family {other}"),
                };
                let (number, transport) = number(rest)?;
                return lab.set(
                    &of(map::NODE_PORTS, is_v4),
                    node_port_index(transport, number.to_be()),
                    service,
                );
            }
            other => bail!("no kind {other}"),
        };
        let (addr, transport) = port(port_text)?;
        let set = if kind == FrontendKind::ClusterIp { map::CLUSTER_IPS } else { map::EXTERNAL_IPS };
        match addr.ip() {
            IpAddr::V4(ip) => lab.insert(&of(set, true), Addr4::from(ip), 1_u32)?,
            IpAddr::V6(ip) => lab.insert(&of(set, false), Addr6::from(ip), 1_u32)?,
        }
        let value = Frontend { service, kind: kind as u32 };
        let be = addr.port().to_be();
        match addr.ip() {
            IpAddr::V4(ip) => {
                let key = FrontendKey::new(Addr4::from(ip), be, transport);
                count_in(lab, true, filter::place(&key))?;
                lab.insert("FRONTENDS_V4", key, value)
            }
            IpAddr::V6(ip) => {
                let key = FrontendKey::new(Addr6::from(ip), be, transport);
                count_in(lab, false, filter::place(&key))?;
                lab.insert("FRONTENDS_V6", key, value)
            }
        }
    }
}

/// Says that there is a frontend in a place.
fn count_in(lab: &mut Lab, is_v4: bool, place: u32) -> anyhow::Result<()> {
    let (name, element) = (of(map::FRONTEND_FILTER, is_v4), Line::of(place));
    let mut counts: [u8; LINE] = lab.get(&name, element)?;
    counts[place as usize % LINE] += 1;
    lab.set(&name, element, counts)
}

/// The words of a backend cell that are not its address.
#[derive(Clone, Copy)]
struct Cell {
    head: BackendHead,
    generation: u32,
}

/// Words of a cell without its address: head, generation, node.
type Words = [u32; 3];

fn cell(lab: &mut Lab, addr: SocketAddr, id: u32) -> anyhow::Result<Cell> {
    let name = of(map::BACKENDS, addr.is_ipv4());
    let [head, generation, _node]: Words = if addr.is_ipv4() {
        let [_addr, rest @ ..]: [u32; 4] = lab.get(&name, id)?;
        rest
    } else {
        let [_a, _b, _c, _d, rest @ ..]: [u32; 7] = lab.get(&name, id)?;
        rest
    };
    Ok(Cell { head: BackendHead::unpack(head), generation })
}

fn set_cell(lab: &mut Lab, addr: SocketAddr, id: u32, cell: Cell) -> anyhow::Result<()> {
    let name = of(map::BACKENDS, addr.is_ipv4());
    let [head, generation, node]: Words = [cell.head.pack(), cell.generation, 0];
    match addr.ip() {
        IpAddr::V4(ip) => lab.set(&name, id, [Addr4::from(ip).0, head, generation, node]),
        IpAddr::V6(ip) => {
            let [a, b, c, d] = Addr6::from(ip).0;
            lab.set(&name, id, [a, b, c, d, head, generation, node])
        }
    }
}

impl Service {
    /// What the agent makes of it in a family.
    fn policy(&self, is_v4: bool, has_endpoints: bool) -> anyhow::Result<Policy> {
        let flags = [
            (self.internal_traffic_policy == TrafficPolicy::Local, SERVICE_INTERNAL_LOCAL),
            (self.external_traffic_policy == TrafficPolicy::Local, SERVICE_EXTERNAL_LOCAL),
            (has_endpoints, SERVICE_HAS_ENDPOINTS),
            (self.source_ranges.iter().any(|range| range.is_v4() == is_v4), SERVICE_RESTRICTED),
        ];
        let flags: u32 = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
        let rate = Rate::try_from(self.max_new_flows_per_second).map_err(anyhow::Error::msg)?;
        let policy = model::Policy { algorithm: self.algorithm()?, rate, ..model::Policy::default() };
        let flags = flags | map_policy(&policy).flags;
        Ok(Policy { flags, affinity: self.session_affinity })
    }

    fn algorithm(&self) -> anyhow::Result<Algorithm> {
        let name = self.algorithm.as_deref().unwrap_or("random");
        name.parse().map_err(anyhow::Error::msg)
    }
}

/// The slots of a list as the agent lays them out.
fn slots(algorithm: Algorithm, backends: &[(u32, SocketAddr)]) -> Vec<u32> {
    let mut sorted = backends.to_vec();
    sorted.sort_by_key(|(_, addr)| *addr);
    let described: Vec<_> = sorted
        .iter()
        .map(|(_, addr)| Backend {
            address: addr.ip(),
            port: addr.port(),
            node: None,
            local: false,
            state: BackendState::Active,
            lists: Lists::CLUSTER,
            weight: 1,
        })
        .collect();
    match layout(algorithm, &described.iter().collect::<Vec<_>>(), TABLE) {
        Some(order) => order.into_iter().map(|at| sorted[at as usize].0).collect(),
        None => backends.iter().map(|(id, _)| *id).collect(),
    }
}

fn set_service(
    lab: &mut Lab,
    is_v4: bool,
    service: u32,
    [cluster, local]: [Slab; 2],
    policy: Policy,
) -> anyhow::Result<()> {
    // The slabs, the policy, and what is the agent's own.
    lab.set(&of(map::SERVICES, is_v4), service, [cluster.pack(), local.pack(), 0, policy.pack(), 0, 0])
}

/// `<address>:<port>/<protocol>`.
fn port(text: &str) -> anyhow::Result<(SocketAddr, Transport)> {
    let (addr, protocol) = text.split_once('/').context("no protocol behind the port")?;
    Ok((addr.parse().with_context(|| format!("`{addr}`"))?, transport(protocol)?))
}

/// `<port>/<protocol>`.
fn number(text: &str) -> anyhow::Result<(u16, Transport)> {
    let (number, protocol) = text.split_once('/').context("no protocol behind the port")?;
    Ok((number.parse()?, transport(protocol)?))
}

fn transport(name: &str) -> anyhow::Result<Transport> {
    match name {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        "sctp" => Ok(Transport::Sctp),
        other => bail!("no protocol {other}"),
    }
}
