//! The maps of the node's addresses: which are its own, and which it uses on a device.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::maps::MapError;
use svclb_common::{
    family::{V4, V6},
    layout::map,
    service::{LOCAL_ADDRESS, LOCAL_NODE_PORTS},
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, Tables, open_hash, read_error},
};

/// What the maps are to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The node's own addresses, on any device.
    pub local: BTreeSet<IpAddr>,
    /// By device: the address for connections that go out by it; at most one per family.
    pub sources: BTreeMap<u32, Vec<IpAddr>>,
}

/// The maps of one family, and what was last written.
struct FamilyMaps<F: MapFamily> {
    locals: Hash<F::Addr, u32>,
    sources: Hash<u32, F::Addr>,
    local: BTreeSet<IpAddr>,
    source: BTreeMap<u32, IpAddr>,
}

/// The writer of these maps.
pub struct AddressMaps {
    v4: FamilyMaps<V4>,
    v6: FamilyMaps<V6>,
}

impl AddressMaps {
    /// Opens the pinned maps and reads what is in them.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self { v4: FamilyMaps::open(pins)?, v6: FamilyMaps::open(pins)? })
    }

    /// Writes what differs.
    pub fn apply(&mut self, wanted: &Addresses, tables: &Tables) -> Result<(), Error> {
        self.v4.apply(wanted, tables)?;
        self.v6.apply(wanted, tables)
    }
}

impl<F: MapFamily> FamilyMaps<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        let locals: Hash<F::Addr, u32> = open_hash(pins, &F::map(map::LOCALS))?;
        let sources: Hash<u32, F::Addr> = open_hash(pins, &F::map(map::SOURCES))?;
        let local = locals
            .keys()
            .map(|key| key.map(Into::into))
            .collect::<Result<_, _>>()
            .map_err(|error| read_error(F::map(map::LOCALS), &error))?;
        let source = sources
            .iter()
            .map(|item| item.map(|(ifindex, addr)| (ifindex, addr.into())))
            .collect::<Result<_, _>>()
            .map_err(|error| read_error(F::map(map::SOURCES), &error))?;
        Ok(Self { locals, sources, local, source })
    }

    fn apply(&mut self, wanted: &Addresses, tables: &Tables) -> Result<(), Error> {
        let local: BTreeSet<_> =
            wanted.local.iter().copied().filter(|ip| F::address(*ip).is_some()).collect();
        let source: BTreeMap<_, _> = wanted
            .sources
            .iter()
            .filter_map(|(ifindex, ips)| Some((*ifindex, *ips.iter().find(|ip| F::address(**ip).is_some())?)))
            .collect();
        let failed = |name: &str, error: &MapError| Error::map(F::map(name), error);
        // What was written is known at once, so that a failure leaves no false memory.
        for (ip, addr) in difference::<F>(&local, &self.local) {
            self.locals
                .insert(addr, LOCAL_ADDRESS | LOCAL_NODE_PORTS, 0)
                .map_err(|error| failed(map::LOCALS, &error))?;
            self.local.insert(ip);
            tables.count_write()?;
        }
        for (ifindex, ip) in &source {
            let Some(addr) = F::address(*ip).filter(|_| self.source.get(ifindex) != Some(ip)) else {
                continue;
            };
            self.sources.insert(ifindex, addr, 0).map_err(|error| failed(map::SOURCES, &error))?;
            self.source.insert(*ifindex, *ip);
            tables.count_write()?;
        }
        let gone: Vec<_> =
            self.source.keys().filter(|ifindex| !source.contains_key(ifindex)).copied().collect();
        for ifindex in gone {
            self.sources.remove(&ifindex).or_else(absent).map_err(|error| failed(map::SOURCES, &error))?;
            self.source.remove(&ifindex);
            tables.count_write()?;
        }
        for (ip, addr) in difference::<F>(&self.local, &local) {
            self.locals.remove(&addr).or_else(absent).map_err(|error| failed(map::LOCALS, &error))?;
            self.local.remove(&ip);
            tables.count_write()?;
        }
        Ok(())
    }
}

/// Addresses of the family that are in the one set and not in the other.
fn difference<F: MapFamily>(one: &BTreeSet<IpAddr>, other: &BTreeSet<IpAddr>) -> Vec<(IpAddr, F::Addr)> {
    one.difference(other).filter_map(|ip| Some((*ip, F::address(*ip)?))).collect()
}

/// What is not there need not be removed.
fn absent(error: MapError) -> Result<(), MapError> {
    match error {
        MapError::KeyNotFound => Ok(()),
        error => Err(error),
    }
}
