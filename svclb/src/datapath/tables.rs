//! The maps that hold services, and the one writer of them.
//!
//! Arrays are written as memory, hashes by system call. The order of writes is the
//! plan's; each write here is one word, one cell that no reader can find yet, or one
//! replacement of a hash's element, so a reader sees every state between two writes
//! and none within one.

use std::{io, net::IpAddr, os::fd::AsFd as _};

use aya::maps::{
    HashMap, Map, MapData, MapError,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::IpNet;
use svclb_common::{
    cell::{Word32, Word64},
    family::{V4, V6},
    key::FrontendKey,
    layout::map,
    service::{
        BACKEND_FREE, BACKEND_LOCAL, BACKEND_TERMINATING, BackendCell, BackendHead, Frontend, LABEL_LEN,
        List, NODE_NAME_LEN, NodeName, Policy, RangeKey, ServiceCell, ServiceName, Slab, node_port_index,
    },
    state::AgentState,
    wire::Transport,
};

use super::{Error, error::chain, family::MapFamily, frontends::Frontends, pins::Pins};
use crate::{
    model::{Family, ServicePortKey},
    plan::{BackendEntry, BackendFlags, FrontendEntry, MapOp, TableOp},
    sys::mapped::{Access, MappedArray, Shared},
};

/// A hash of the kernel.
pub type Hash<K, V> = HashMap<MapData, K, V>;

/// A longest-prefix match of the kernel.
pub type Trie<K, V> = LpmTrie<MapData, K, V>;

/// The maps of one family.
pub struct FamilyTables<F: MapFamily> {
    pub(super) frontends: Frontends<F>,
    pub(super) node_ports: MappedArray<Word32>,
    pub(super) services: MappedArray<ServiceCell>,
    pub(super) names: Hash<u32, ServiceName>,
    pub(super) slots: MappedArray<Word32>,
    pub(super) active: MappedArray<Word64>,
    pub(super) backends: MappedArray<BackendCell<F::Addr>>,
    pub(super) source_ranges: Trie<RangeKey<F::Addr>, u32>,
    pub(super) cluster_ips: Hash<F::Addr, u32>,
    pub(super) external_ips: Hash<F::Addr, u32>,
}

/// The maps of both families.
pub struct Tables {
    pub(super) v4: FamilyTables<V4>,
    pub(super) v6: FamilyTables<V6>,
    pub(super) nodes: Hash<u32, NodeName>,
    pub(super) state: MappedArray<AgentState>,
}

/// Opens a pinned hash.
pub fn open_hash<K: aya::Pod, V: aya::Pod>(pins: &Pins, name: &str) -> Result<Hash<K, V>, Error> {
    let data = MapData::from_pin(pins.map(name)).map_err(|error| Error::map(name, &error))?;
    Map::from_map_data(data).and_then(Hash::try_from).map_err(|error| Error::map(name, &error))
}

/// Opens a pinned longest-prefix match.
fn open_trie<K: aya::Pod, V: aya::Pod>(pins: &Pins, name: &str) -> Result<Trie<K, V>, Error> {
    let data = MapData::from_pin(pins.map(name)).map_err(|error| Error::map(name, &error))?;
    Map::from_map_data(data).and_then(Trie::try_from).map_err(|error| Error::map(name, &error))
}

/// Maps a pinned array. Its elements were compared with `T`'s by
/// [`check_pinned`](super::object::check_pinned) or are compared here.
pub fn open_array<T: Shared>(pins: &Pins, name: &str, access: Access) -> Result<MappedArray<T>, Error> {
    let path = pins.map(name);
    let info = aya::maps::MapInfo::from_pin(&path).map_err(|error| Error::map(name, &error))?;
    if info.value_size() as usize != size_of::<T>() {
        let found = format!("values of {} bytes", info.value_size());
        return Err(Error::ForeignMap { path, found, wanted: format!("{} bytes", size_of::<T>()) });
    }
    let data = MapData::from_pin(&path).map_err(|error| Error::map(name, &error))?;
    MappedArray::new(data.fd().as_fd(), info.max_entries(), access)
        .map_err(|error| Error::Map { map: name.into(), reason: error.to_string() })
}

/// Takes back what an earlier agent said of the tables, if there was one.
pub fn disown(pins: &Pins) -> Result<(), Error> {
    if pins.map(map::STATE).exists() {
        let state = open_array::<AgentState>(pins, map::STATE, Access::Write)?;
        element(&state, map::STATE.into(), 0)?.synced.store(0);
    }
    Ok(())
}

impl<F: MapFamily> FamilyTables<F> {
    fn open(pins: &Pins, access: Access) -> Result<Self, Error> {
        Ok(Self {
            frontends: Frontends::open(pins, access)?,
            node_ports: open_array(pins, &F::map(map::NODE_PORTS), access)?,
            services: open_array(pins, &F::map(map::SERVICES), access)?,
            names: open_hash(pins, &F::map(map::NAMES))?,
            slots: open_array(pins, &F::map(map::SLOTS), access)?,
            active: open_array(pins, &F::map(map::ACTIVE), access)?,
            backends: open_array(pins, &F::map(map::BACKENDS), access)?,
            source_ranges: open_trie(pins, &F::map(map::SOURCE_RANGES))?,
            cluster_ips: open_hash(pins, &F::map(map::CLUSTER_IPS))?,
            external_ips: open_hash(pins, &F::map(map::EXTERNAL_IPS))?,
        })
    }

    fn release(&mut self) -> Result<(), Error> {
        let failed =
            |name| move |error: io::Error| Error::Map { map: F::map(name), reason: error.to_string() };
        self.frontends.release().map_err(failed(map::FRONTEND_FILTER))?;
        self.node_ports.release().map_err(failed(map::NODE_PORTS))?;
        self.services.release().map_err(failed(map::SERVICES))?;
        self.slots.release().map_err(failed(map::SLOTS))?;
        self.active.release().map_err(failed(map::ACTIVE))?;
        self.backends.release().map_err(failed(map::BACKENDS))
    }

    fn apply(&mut self, op: &TableOp) -> Result<(), Error> {
        match op {
            TableOp::WriteBackend { id, backend } => self.write_backend(*id, backend),
            TableOp::SetBackendFlags { id, flags } => {
                let cell = self.backend(*id)?;
                let head = BackendHead::unpack(cell.head.load());
                cell.node.store(flags.node);
                cell.head.store(BackendHead { flags: bits(*flags), ..head }.pack());
                Ok(())
            }
            TableOp::FreeBackend { id } => {
                let cell = self.backend(*id)?;
                let head = BackendHead::unpack(cell.head.load());
                cell.generation.store(cell.generation.load().wrapping_add(1));
                cell.head.store(BackendHead { flags: head.flags | BACKEND_FREE, ..head }.pack());
                Ok(())
            }
            TableOp::WriteSlot { index, slot } => {
                element(&self.slots, F::map(map::SLOTS), *index)?.store(slot.pack());
                Ok(())
            }
            TableOp::SetSlab { service, list, slab, capacity } => {
                self.set_slab(*service, *list, *slab, *capacity)
            }
            TableOp::SetPolicy { service, policy } => {
                self.service(*service)?.policy.store(policy.pack());
                Ok(())
            }
            TableOp::WriteName { service, key } => self
                .names
                .insert(service, service_name(key), 0)
                .map_err(|error| Error::map(F::map(map::NAMES), &error)),
            TableOp::RemoveName { service } => self
                .names
                .remove(service)
                .or_else(absent)
                .map_err(|error| Error::map(F::map(map::NAMES), &error)),
            TableOp::AddFrontend { key, frontend } => self.set_frontend(key, Some(*frontend)),
            TableOp::RemoveFrontend { key } => self.set_frontend(key, None),
            TableOp::AddRange { service, range } => {
                let name = F::map(map::SOURCE_RANGES);
                let key = range_key::<F>(*service, *range)?;
                self.source_ranges.insert(&key, 1, 0).map_err(|error| Error::map(name, &error))
            }
            TableOp::RemoveRange { service, range } => {
                let name = F::map(map::SOURCE_RANGES);
                let key = range_key::<F>(*service, *range)?;
                self.source_ranges.remove(&key).or_else(absent).map_err(|error| Error::map(name, &error))
            }
            TableOp::AddClusterIp { address } => {
                list::<F>(&mut self.cluster_ips, map::CLUSTER_IPS, *address, true)
            }
            TableOp::RemoveClusterIp { address } => {
                list::<F>(&mut self.cluster_ips, map::CLUSTER_IPS, *address, false)
            }
            TableOp::AddExternalIp { address } => {
                list::<F>(&mut self.external_ips, map::EXTERNAL_IPS, *address, true)
            }
            TableOp::RemoveExternalIp { address } => {
                list::<F>(&mut self.external_ips, map::EXTERNAL_IPS, *address, false)
            }
        }
    }

    fn service(&self, id: u32) -> Result<&ServiceCell, Error> {
        element(&self.services, F::map(map::SERVICES), id)
    }

    fn backend(&self, id: u32) -> Result<&BackendCell<F::Addr>, Error> {
        element(&self.backends, F::map(map::BACKENDS), id)
    }

    fn write_backend(&self, id: u32, entry: &BackendEntry) -> Result<(), Error> {
        let BackendEntry { key, flags } = entry;
        let addr = address::<F>(map::BACKENDS, key.address)?;
        let cell = self.backend(id)?;
        cell.addr.store(addr);
        cell.node.store(flags.node);
        let head = BackendHead { port: key.port.to_be(), proto: key.protocol.number(), flags: bits(*flags) };
        cell.head.store(head.pack());
        // What the backend before it had left is not its own.
        element(&self.active, F::map(map::ACTIVE), id)?.store(0);
        Ok(())
    }

    fn set_slab(&self, service: u32, list: List, slab: Slab, capacity: u32) -> Result<(), Error> {
        let cell = self.service(service)?;
        // Readers in the kernel look at the slab alone.
        cell.capacities[list as usize].store(capacity);
        cell.slabs[list as usize].store(slab.pack());
        Ok(())
    }

    fn set_frontend(
        &mut self,
        key: &crate::plan::FrontendKey,
        entry: Option<FrontendEntry>,
    ) -> Result<(), Error> {
        let transport = Transport::of(key.protocol.number()).ok_or_else(|| Error::Map {
            map: F::map(map::FRONTENDS),
            reason: format!("{:?} has no datapath", key.protocol),
        })?;
        let Some(address) = key.address else {
            let port = element(
                &self.node_ports,
                F::map(map::NODE_PORTS),
                node_port_index(transport, key.port.to_be()),
            )?;
            port.store(entry.map_or(0, |entry| entry.service));
            return Ok(());
        };
        let addr = self::address::<F>(map::FRONTENDS, address)?;
        let key = FrontendKey::new(addr, key.port.to_be(), transport);
        let frontend = entry.map(|FrontendEntry { service, kind }| Frontend { service, kind: kind as u32 });
        self.frontends.set(key, frontend)
    }
}

impl Tables {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins, access: Access) -> Result<Self, Error> {
        Ok(Self {
            v4: FamilyTables::open(pins, access)?,
            v6: FamilyTables::open(pins, access)?,
            nodes: open_hash(pins, map::NODES)?,
            state: open_array(pins, map::STATE, access)?,
        })
    }

    /// Counts all frontends anew in what says where some are.
    pub fn recount_frontends(&self) -> Result<(), Error> {
        self.v4.frontends.recount().and_then(|()| self.v6.frontends.recount())
    }

    /// What the agent tells other processes.
    pub fn state(&self) -> Result<&AgentState, Error> {
        element(&self.state, map::STATE.into(), 0)
    }

    /// Writes the policy of cell 0, which is no service's: what programs are to know of the node.
    pub fn set_node_policy(&self, policy: Policy) -> Result<(), Error> {
        self.v4.service(0)?.policy.store(policy.pack());
        self.v6.service(0)?.policy.store(policy.pack());
        Ok(())
    }

    /// Carries out one write and counts it.
    pub fn apply(&mut self, op: &MapOp) -> Result<(), Error> {
        match op {
            MapOp::Table { family: Family::V4, op } => self.v4.apply(op),
            MapOp::Table { family: Family::V6, op } => self.v6.apply(op),
            MapOp::WriteNode { id, name } => {
                let mut text = [0; NODE_NAME_LEN];
                put_text(&mut text, name);
                self.nodes.insert(id, NodeName(text), 0).map_err(|error| Error::map(map::NODES, &error))
            }
            MapOp::RemoveNode { id } => {
                self.nodes.remove(id).or_else(absent).map_err(|error| Error::map(map::NODES, &error))
            }
        }?;
        self.count_write()
    }

    /// Gives back the memory under what was read once; what is looked at again is mapped again.
    pub fn release(&mut self) -> Result<(), Error> {
        self.v4.release().and_then(|()| self.v6.release())
    }

    /// The generation of a backend cell.
    pub fn generation(&self, family: Family, id: u32) -> Result<u32, Error> {
        Ok(match family {
            Family::V4 => self.v4.backend(id)?.generation.load(),
            Family::V6 => self.v6.backend(id)?.generation.load(),
        })
    }

    /// Counts a write to a table.
    pub fn count_write(&self) -> Result<(), Error> {
        let state = self.state()?;
        let writes = state.writes.load() + 1;
        state.writes.store(writes);
        // Where the programs look: what they note says which version of the tables decided.
        for services in [&self.v4.services, &self.v6.services] {
            element(services, map::SERVICES.into(), 0)?.reserved.store(writes as u32);
        }
        Ok(())
    }
}

/// An address of this family, for the map `name`.
fn address<F: MapFamily>(name: &str, ip: IpAddr) -> Result<F::Addr, Error> {
    F::address(ip)
        .ok_or_else(|| Error::Map { map: F::map(name), reason: format!("{ip} is of the other family") })
}

/// Puts an address into a set, or takes it out.
fn list<F: MapFamily>(
    set: &mut Hash<F::Addr, u32>,
    name: &str,
    ip: IpAddr,
    is_listed: bool,
) -> Result<(), Error> {
    let addr = address::<F>(name, ip)?;
    let written = if is_listed { set.insert(addr, 1, 0) } else { set.remove(&addr).or_else(absent) };
    written.map_err(|error| Error::map(F::map(name), &error))
}

/// The key of a source range: the service's number counts as the first bits of the prefix.
fn range_key<F: MapFamily>(service: u32, range: IpNet) -> Result<Key<RangeKey<F::Addr>>, Error> {
    let addr = address::<F>(map::SOURCE_RANGES, range.network())?;
    Ok(Key::new(u32::BITS + u32::from(range.prefix_len()), RangeKey { service, addr }))
}

/// What is not there need not be removed.
pub(super) fn absent(error: MapError) -> Result<(), MapError> {
    match error {
        MapError::KeyNotFound => Ok(()),
        MapError::SyscallError(error) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

/// An element that a plan names; plans keep within the capacities.
pub(super) fn element<T: Shared>(array: &MappedArray<T>, name: String, index: u32) -> Result<&T, Error> {
    array.get(index).ok_or_else(|| Error::Map { map: name, reason: format!("has no element {index}") })
}

fn bits(flags: BackendFlags) -> u8 {
    let local = if flags.local { BACKEND_LOCAL } else { 0 };
    let terminating = if flags.terminating { BACKEND_TERMINATING } else { 0 };
    local | terminating
}

fn service_name(key: &ServicePortKey) -> ServiceName {
    let mut name = ServiceName {
        namespace: [0; LABEL_LEN],
        name: [0; LABEL_LEN],
        port_name: [0; LABEL_LEN],
        proto: key.protocol.number().into(),
    };
    put_text(&mut name.namespace, &key.namespace);
    put_text(&mut name.name, &key.name);
    put_text(&mut name.port_name, &key.port_name);
    name
}

/// Writes text that fits; the API server admits no longer names.
fn put_text(field: &mut [u8], text: &str) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text.as_bytes()[..len]);
}

/// Text padded with zeros.
pub(super) fn text(field: &[u8]) -> String {
    let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..len]).into_owned()
}

/// An error of reading a hash.
pub(super) fn read_error(name: String, error: &MapError) -> Error {
    Error::Map { map: name, reason: chain(error) }
}
