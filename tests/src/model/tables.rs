//! What the pinned maps hold, in the reference's words.

mod cell;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anyhow::{Context as _, ensure};
use aya::maps::{Array, HashMap, Map, MapData, lpm_trie::LpmTrie};
use svclb::{
    datapath::{pins::Pins, tables::open_array},
    sys::mapped::{Access, MappedArray, Shared},
};
use svclb_common::{
    cell::Word32,
    family::{Addr4, Addr6},
    key::FrontendKey,
    layout::map,
    service::{BackendCell, Frontend as FrontendValue, NodeName, RangeKey, ServiceName},
    state::AgentState,
};

use self::cell::{FREE, LEAVING, Lists, Words, backend, read_policy};
use super::feed::{self, Mark};
use crate::reference::{
    Family, Protocol,
    address::Range,
    claim::{Frontend, Kind, Owner, PortKey},
    expected::ServedPort,
};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Frontends, and whose they are.
    pub frontends: BTreeMap<Frontend, Owner>,
    /// Ports of Services.
    pub ports: BTreeMap<PortKey, ServedPort>,
    /// The set of ClusterIPs, without those of other namespaces.
    pub cluster_ips: BTreeSet<IpAddr>,
    /// The set of other addresses, without those of other namespaces.
    pub external_ips: BTreeSet<IpAddr>,
    /// What can never be right.
    pub faults: Vec<String>,
}

/// How closely tables are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What leads somewhere.
    Reached,
    /// Every cell and every node port.
    Every,
}

/// The pinned maps.
pub struct Tables {
    v4: FamilyTables<Addr4, [u32; 4]>,
    v6: FamilyTables<Addr6, [u32; 7]>,
    nodes: HashMap<MapData, u32, NodeName>,
    state: MappedArray<AgentState>,
}

struct FamilyTables<A: Address, B: aya::Pod> {
    family: Family,
    frontends: HashMap<MapData, FrontendKey<A>, FrontendValue>,
    node_ports: Array<MapData, u32>,
    names: HashMap<MapData, u32, ServiceName>,
    services: Array<MapData, [u64; 6]>,
    slots: Array<MapData, u32>,
    backends: Array<MapData, B>,
    ranges: LpmTrie<MapData, RangeKey<A>, u32>,
    cluster_ips: HashMap<MapData, A, u32>,
    external_ips: HashMap<MapData, A, u32>,
    every_node_port: MappedArray<Word32>,
    every_backend: MappedArray<BackendCell<A>>,
}

trait Address: svclb_common::family::Address + aya::Pod + Into<IpAddr> {}
impl<A: svclb_common::family::Address + aya::Pod + Into<IpAddr>> Address for A {}

impl Tables {
    /// Opens the maps that are pinned there. To be called where the pins are seen.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self {
            v4: FamilyTables::open(pins, Family::IPv4, "_V4")?,
            v6: FamilyTables::open(pins, Family::IPv6, "_V6")?,
            nodes: hash(pins, map::NODES)?,
            state: open_array(pins, map::STATE, Access::Read)?,
        })
    }

    /// Writes of the agent, if its tables are in sync.
    pub fn synced_writes(&self) -> Option<u64> {
        let state = self.state.get(0)?;
        (state.synced.load() == 1).then(|| state.writes.load())
    }

    /// What the markers say; `None` where they are not there.
    pub fn mark(&self) -> anyhow::Result<Option<Mark>> {
        let Some(cell) = self.v4.cell_of(feed::NAMESPACE)? else { return Ok(None) };
        let [cluster, _, _, policy, ..] = self.v4.services.get(&cell, 0)?;
        if cluster >> 32 == 0 {
            return Ok(None);
        }
        let slot = self.v4.slots.get(&(cluster as u32), 0)?;
        let backend = backend(&self.v4.backends.get(&cell_of_slot(slot), 0)?);
        Ok(Some(Mark { affinity: (policy >> 32) as u32, is_leaving: backend.flags & LEAVING != 0 }))
    }

    /// Everything that belongs to Services of a namespace.
    pub fn read(&self, namespace: &str, node_ports: &[u16], depth: Depth) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        let nodes = self.nodes.iter().map(|item| item.map(|(id, name)| (id, text(&name.0))));
        let nodes: BTreeMap<u32, String> = nodes.collect::<Result<_, _>>()?;
        let mut used = BTreeSet::new();
        self.v4.read((namespace, node_ports, depth), &nodes, &mut used, &mut seen)?;
        self.v6.read((namespace, node_ports, depth), &nodes, &mut used, &mut seen)?;
        for (id, name) in nodes.iter().filter(|(id, _)| !used.contains(*id)) {
            seen.faults.push(format!("node name {id}, {name}, is nobody's"));
        }
        Ok(seen)
    }
}

fn cell_of_slot(slot: u32) -> u32 {
    slot & 0x00ff_ffff
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn protocol(number: u32) -> anyhow::Result<Protocol> {
    let known = Protocol::ALL.into_iter().find(|it| u32::from(it.number()) == number);
    known.with_context(|| format!("protocol {number}"))
}

fn hash<K: aya::Pod, V: aya::Pod>(pins: &Pins, name: &str) -> anyhow::Result<HashMap<MapData, K, V>> {
    Ok(HashMap::try_from(Map::HashMap(MapData::from_pin(pins.map(name))?))?)
}

fn array<V: aya::Pod>(pins: &Pins, name: &str) -> anyhow::Result<Array<MapData, V>> {
    Ok(Array::try_from(Map::Array(MapData::from_pin(pins.map(name))?))?)
}

type Who<'a> = (&'a str, &'a [u16], Depth);

impl<A: Address, B: Words> FamilyTables<A, B>
where
    BackendCell<A>: Shared,
    FrontendKey<A>: aya::Pod,
    RangeKey<A>: aya::Pod,
{
    fn open(pins: &Pins, family: Family, suffix: &str) -> anyhow::Result<Self> {
        let name = |base: &str| format!("{base}{suffix}");
        let ranges = MapData::from_pin(pins.map(&name(map::SOURCE_RANGES)))?;
        Ok(Self {
            family,
            frontends: hash(pins, &name(map::FRONTENDS))?,
            node_ports: array(pins, &name(map::NODE_PORTS))?,
            names: hash(pins, &name(map::NAMES))?,
            services: array(pins, &name(map::SERVICES))?,
            slots: array(pins, &name(map::SLOTS))?,
            backends: array(pins, &name(map::BACKENDS))?,
            ranges: LpmTrie::try_from(Map::LpmTrie(ranges))?,
            cluster_ips: hash(pins, &name(map::CLUSTER_IPS))?,
            external_ips: hash(pins, &name(map::EXTERNAL_IPS))?,
            every_node_port: open_array(pins, &name(map::NODE_PORTS), Access::Read)?,
            every_backend: open_array(pins, &name(map::BACKENDS), Access::Read)?,
        })
    }

    fn cell_of(&self, namespace: &str) -> anyhow::Result<Option<u32>> {
        for item in &self.names {
            let (cell, name) = item?;
            if text(&name.namespace) == namespace {
                return Ok(Some(cell));
            }
        }
        Ok(None)
    }

    fn read(
        &self,
        (namespace, node_ports, depth): Who<'_>,
        nodes: &BTreeMap<u32, String>,
        used_nodes: &mut BTreeSet<u32>,
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        let mut ranges: BTreeMap<u32, BTreeSet<Range>> = BTreeMap::new();
        for key in self.ranges.keys() {
            let key = key?;
            let length = key.prefix_len().checked_sub(32).and_then(|it| u8::try_from(it).ok());
            let data = key.data();
            let range = Range::of(data.addr.into(), length.context("a source range without a service")?);
            ranges.entry(data.service).or_default().insert(range);
        }
        // Of all namespaces: a cell's owner decides which of the rest is looked at.
        let mut owners: BTreeMap<u32, Option<PortKey>> = BTreeMap::new();
        let (mut used, mut slabs) = (BTreeSet::new(), BTreeMap::new());
        for item in &self.names {
            let (cell, name) = item?;
            let protocol = protocol(name.proto)?;
            let port = ServedPort::default();
            let mut of_cell =
                Lists { served: port, used: &mut used, used_nodes, nodes, faults: &mut seen.faults };
            let policy = self.lists(cell, protocol, &mut slabs, &mut of_cell)?;
            let mut port = of_cell.served;
            let of_cell = ranges.remove(&cell).unwrap_or_default();
            read_policy(policy, of_cell, &mut port, &mut seen.faults);
            let is_ours = text(&name.namespace) == namespace;
            let key = PortKey {
                service: text(&name.name),
                port: text(&name.port_name),
                protocol,
                family: self.family,
            };
            owners.insert(cell, is_ours.then(|| key.clone()));
            if is_ours && seen.ports.insert(key.clone(), port).is_some() {
                seen.faults.push(format!("two cells are {key:?}"));
            }
        }
        for (cell, ranges) in ranges {
            seen.faults.push(format!("source ranges of cell {cell}, which is nobody's: {ranges:?}"));
        }
        let foreign = self.frontends(&owners, seen)?;
        self.node_ports(&owners, node_ports, depth, seen)?;
        for (set, to) in
            [(&self.cluster_ips, &mut seen.cluster_ips), (&self.external_ips, &mut seen.external_ips)]
        {
            for address in set.keys() {
                to.extend(Some(address?.into()).filter(|address| !foreign.contains(address)));
            }
        }
        if depth == Depth::Every {
            self.leaks(&used, seen)?;
        }
        Ok(())
    }

    /// The lists of a cell; gives back its policy.
    fn lists(
        &self,
        cell: u32,
        protocol: Protocol,
        slabs: &mut BTreeMap<u32, (u32, u32)>,
        to: &mut Lists<'_>,
    ) -> anyhow::Result<u64> {
        let words = self.services.get(&cell, 0)?;
        let [cluster, local, idle, policy, few, more] = words;
        let capacities = [few as u32, (few >> 32) as u32, more as u32];
        for (list, (word, capacity)) in [cluster, local, idle].into_iter().zip(capacities).enumerate() {
            let (base, length) = (word as u32, (word >> 32) as u32);
            ensure!(length <= capacity, "cell {cell} uses {length} of {capacity} slots");
            if capacity > 0 {
                let before = slabs.range(..base + capacity).next_back();
                if let Some((other, (end, owner))) = before.filter(|(_, (end, _))| *end > base) {
                    to.faults
                        .push(format!("slots {base} of cell {cell} are also {other} to {end} of {owner}"));
                }
                slabs.insert(base, (base + capacity, cell));
            }
            for slot in base..base + length {
                let id = cell_of_slot(self.slots.get(&slot, 0)?);
                let backend = backend(&self.backends.get(&id, 0)?);
                if backend.protocol != protocol.number() || backend.flags & FREE != 0 {
                    to.faults.push(format!("cell {cell} leads to the unused backend {id}"));
                }
                to.used.insert(id);
                to.take(list, &backend);
            }
        }
        Ok(policy)
    }

    /// All that have an address; gives back addresses of other namespaces.
    fn frontends(
        &self,
        owners: &BTreeMap<u32, Option<PortKey>>,
        seen: &mut Seen,
    ) -> anyhow::Result<BTreeSet<IpAddr>> {
        let mut foreign = BTreeSet::new();
        for item in &self.frontends {
            let (key, value) = item?;
            let frontend = Frontend {
                family: self.family,
                address: Some(key.addr.into()),
                port: u16::from_be(key.port),
                protocol: protocol(key.proto.into())?,
            };
            let kind = match value.kind {
                1 => Kind::ClusterIP,
                3 => Kind::ExternalIP,
                4 => Kind::LoadBalancer,
                other => anyhow::bail!("a frontend of kind {other}"),
            };
            foreign.extend(Self::owned(owners, value.service, frontend, kind, seen));
        }
        Ok(foreign)
    }

    fn node_ports(
        &self,
        owners: &BTreeMap<u32, Option<PortKey>>,
        known: &[u16],
        depth: Depth,
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        // One row of 65,536 ports per protocol.
        for (row, protocol) in (0_u32..).zip(Protocol::ALL) {
            let mut look = |port: u16, service: u32| {
                if service != 0 {
                    let frontend = Frontend { family: self.family, address: None, port, protocol };
                    Self::owned(owners, service, frontend, Kind::NodePort, seen);
                }
            };
            if depth == Depth::Every {
                for port in 0..=u16::MAX {
                    look(port, self.every_node_port.get(row << 16 | u32::from(port)).map_or(0, Word32::load));
                }
            } else {
                for port in known {
                    look(*port, self.node_ports.get(&(row << 16 | u32::from(*port)), 0)?);
                }
            }
        }
        Ok(())
    }

    /// Takes in a frontend of the namespace; gives back the address of another one's.
    fn owned(
        owners: &BTreeMap<u32, Option<PortKey>>,
        service: u32,
        frontend: Frontend,
        kind: Kind,
        seen: &mut Seen,
    ) -> Option<IpAddr> {
        match owners.get(&service) {
            Some(Some(port)) => {
                if port.protocol != frontend.protocol {
                    seen.faults.push(format!("{frontend:?} leads to {port:?}"));
                }
                seen.frontends.insert(frontend, Owner { kind, port: port.clone() });
                None
            }
            Some(None) => frontend.address,
            None => {
                seen.faults.push(format!("{frontend:?} leads to cell {service}, which is nobody's"));
                None
            }
        }
    }

    fn leaks(&self, used: &BTreeSet<u32>, seen: &mut Seen) -> anyhow::Result<()> {
        for id in 1..self.every_backend.len() {
            let cell = self.every_backend.get(id).context("a backend cell")?;
            let [_, _, protocol, flags] = cell.head.load().to_le_bytes();
            if protocol != 0 && flags & FREE == 0 && !used.contains(&id) {
                seen.faults.push(format!("no slot leads to backend cell {id} of {}", self.family.name()));
            }
        }
        Ok(())
    }
}
