//! The maps of the node's addresses: which are its own, and which it uses on a device.

use std::{collections::BTreeMap, net::IpAddr};

use aya::maps::MapError;
use svclb_common::{
    family::{V4, V6},
    layout::map,
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
    /// The node's own addresses, on any device, and what each is good for: `LOCAL_ADDRESS`, and
    /// `LOCAL_NODE_PORTS` where node ports answer.
    pub local: BTreeMap<IpAddr, u32>,
    /// By device: the address for connections that go out by it; at most one per family.
    pub sources: BTreeMap<u32, Vec<IpAddr>>,
}

/// The maps of one family, and what was last written.
struct FamilyMaps<F: MapFamily> {
    locals: Hash<F::Addr, u32>,
    sources: Hash<u32, F::Addr>,
    local: BTreeMap<IpAddr, u32>,
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
            .iter()
            .map(|item| item.map(|(addr, flags)| (addr.into(), flags)))
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
        let local: BTreeMap<_, _> =
            wanted.local.iter().filter_map(|(ip, flags)| Some((*ip, (F::address(*ip)?, *flags)))).collect();
        let source: BTreeMap<_, _> = wanted
            .sources
            .iter()
            .filter_map(|(ifindex, ips)| Some((*ifindex, *ips.iter().find(|ip| F::address(**ip).is_some())?)))
            .collect();
        let failed = |name: &str, error: &MapError| Error::map(F::map(name), error);
        // What was written is known at once, so that a failure leaves no false memory.
        for (ip, (addr, flags)) in &local {
            if self.local.get(ip) != Some(flags) {
                self.locals.insert(addr, flags, 0).map_err(|error| failed(map::LOCALS, &error))?;
                self.local.insert(*ip, *flags);
                tables.count_write()?;
            }
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
        let gone: Vec<_> = self.local.keys().filter(|ip| !local.contains_key(ip)).copied().collect();
        for (ip, addr) in gone.into_iter().filter_map(|ip| Some((ip, F::address(ip)?))) {
            self.locals.remove(&addr).or_else(absent).map_err(|error| failed(map::LOCALS, &error))?;
            self.local.remove(&ip);
            tables.count_write()?;
        }
        Ok(())
    }
}

/// What is not there need not be removed.
fn absent(error: MapError) -> Result<(), MapError> {
    match error {
        MapError::KeyNotFound => Ok(()),
        error => Err(error),
    }
}
