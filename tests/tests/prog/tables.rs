//! Services as fixtures write them, and their way into the maps.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use svclb_common::{
    family::{Addr4, Addr6},
    key::FrontendKey,
    layout::map,
    service::{BACKEND_FREE, BACKEND_LOCAL, BackendHead, Frontend, FrontendKind, Slab, node_port_index},
    wire::Transport,
};

use crate::{
    lab::{Lab, of},
    node::{ADDRESSES, Node},
};

/// Services by name.
pub(crate) type Services = BTreeMap<String, Service>;

/// A service port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Service {
    /// `<kind> <address>:<port>/<protocol>`.
    frontends: Vec<String>,
    /// `<address>:<port>/<protocol>`, with `local` behind it for a pod of this node.
    backends: Vec<String>,
}

/// What was written, by the names that the fixture gave.
#[derive(Debug, Default)]
pub(crate) struct Written {
    services: BTreeMap<String, u32>,
    backends: BTreeMap<SocketAddr, u32>,
    slots: u32,
}

/// Number of a cell: 0 is none, and a small number could be one by chance.
const FIRST_SERVICE: u32 = 5;
const FIRST_BACKEND: u32 = 70;

impl Written {
    /// Fills the maps of a node that is known to the world by [`ADDRESSES`].
    pub(crate) fn new(lab: &mut Lab, node: &Node, services: &Services) -> anyhow::Result<Self> {
        for (device, address) in ADDRESSES {
            let device = node.index(device);
            match address.parse()? {
                IpAddr::V4(addr) => {
                    lab.insert("LOCALS_V4", Addr4::from(addr), 1_u32)?;
                    lab.insert("SOURCES_V4", device, Addr4::from(addr))?;
                }
                IpAddr::V6(addr) => {
                    lab.insert("LOCALS_V6", Addr6::from(addr), 1_u32)?;
                    lab.insert("SOURCES_V6", device, Addr6::from(addr))?;
                }
            }
        }
        let mut written = Self::default();
        for (name, service) in services {
            written.services.insert(name.clone(), FIRST_SERVICE + written.services.len() as u32);
            written.serve(lab, name, &service.backends)?;
            for frontend in &service.frontends {
                written.frontend(lab, name, frontend).with_context(|| format!("{name}: `{frontend}`"))?;
            }
        }
        Ok(written)
    }

    /// The cell of a service, the same number in both families.
    pub(crate) fn service(&self, name: &str) -> anyhow::Result<u32> {
        self.services.get(name).copied().with_context(|| format!("no service {name}"))
    }

    /// The cell of a backend.
    pub(crate) fn backend(&self, addr: SocketAddr) -> anyhow::Result<u32> {
        self.backends.get(&addr).copied().with_context(|| format!("no backend {addr}"))
    }

    /// Gives a service other backends, in the order of the agent's writes: backends,
    /// slots, then the word that leads to them.
    pub(crate) fn serve(&mut self, lab: &mut Lab, name: &str, backends: &[String]) -> anyhow::Result<()> {
        let service = self.service(name)?;
        for is_v4 in [true, false] {
            let base = self.slots;
            for text in backends {
                let (backend, is_local) =
                    text.strip_suffix(" local").map_or((&text[..], false), |text| (text, true));
                let (addr, transport) = port(backend).with_context(|| format!("{name}: `{text}`"))?;
                if addr.is_ipv4() == is_v4 {
                    let id = self.write_backend(lab, addr, transport, is_local)?;
                    lab.set(&of(map::SLOTS, is_v4), self.slots, id)?;
                    self.slots += 1;
                }
            }
            set_slab(lab, is_v4, service, Slab { base, len: self.slots - base })?;
        }
        Ok(())
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
    pub(crate) fn retire(&self, lab: &mut Lab, addr: SocketAddr) -> anyhow::Result<()> {
        let id = self.backend(addr)?;
        let Cell { head, generation } = cell(lab, addr, id)?;
        let head = BackendHead { flags: head.flags | BACKEND_FREE, ..head };
        set_cell(lab, addr, id, Cell { head, generation: generation + 1 })
    }

    /// Makes a service point at slots that name no backend: what a broken agent could do.
    pub(crate) fn break_slots(&self, lab: &mut Lab, name: &str) -> anyhow::Result<()> {
        let service = self.service(name)?;
        [true, false].into_iter().try_for_each(|is_v4| {
            lab.set(&of(map::SLOTS, is_v4), self.slots, 0_u32)?;
            set_slab(lab, is_v4, service, Slab { base: self.slots, len: 1 })
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
        let value = Frontend { service, kind: kind as u32 };
        let be = addr.port().to_be();
        match addr.ip() {
            IpAddr::V4(ip) => {
                lab.insert("FRONTENDS_V4", FrontendKey::new(Addr4::from(ip), be, transport), value)
            }
            IpAddr::V6(ip) => {
                lab.insert("FRONTENDS_V6", FrontendKey::new(Addr6::from(ip), be, transport), value)
            }
        }
    }
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

fn set_slab(lab: &mut Lab, is_v4: bool, service: u32, slab: Slab) -> anyhow::Result<()> {
    lab.set(&of(map::SERVICES, is_v4), service, [slab.pack(), u64::from(slab.len)])
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
        other => bail!("no protocol {other}"),
    }
}
