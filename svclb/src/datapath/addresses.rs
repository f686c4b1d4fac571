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
    tables::{Hash, Tables, absent, open_hash, read_error},
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

    /// What an address of the node is good for, as it was last written; 0 if it is none.
    pub fn flags(&self, ip: IpAddr) -> u32 {
        self.v4.local.get(&ip).or_else(|| self.v6.local.get(&ip)).copied().unwrap_or(0)
    }

    /// The node's addresses and what they are good for, as they were last written.
    pub fn local(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.v4.local.iter().chain(&self.v6.local).map(|(ip, flags)| (*ip, *flags))
    }

    /// Writes what differs, as far as there is room.
    pub fn apply(&mut self, wanted: &Addresses, tables: &Tables) -> Result<(), Error> {
        let v4 = self.v4.apply(wanted, tables);
        self.v6.apply(wanted, tables).and(v4)
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
        let mut first = None;
        let mut note = |name: &str, result: Result<(), MapError>| match result {
            Ok(()) => tables.count_write().is_ok(),
            Err(error) => {
                first.get_or_insert_with(|| Error::map(F::map(name), &error));
                false
            }
        };
        // What goes makes room for what comes, and what finds none keeps nobody else out. What was written is known at
        // once, so that a failure leaves no false memory.
        self.source.retain(|ifindex, _| {
            source.contains_key(ifindex) || !note(map::SOURCES, self.sources.remove(ifindex).or_else(absent))
        });
        self.local.retain(|ip, _| {
            let Some(addr) = F::address(*ip).filter(|_| !local.contains_key(ip)) else { return true };
            !note(map::LOCALS, self.locals.remove(&addr).or_else(absent))
        });
        for (ip, (addr, flags)) in &local {
            if self.local.get(ip) != Some(flags) && note(map::LOCALS, self.locals.insert(addr, flags, 0)) {
                self.local.insert(*ip, *flags);
            }
        }
        for (ifindex, ip) in &source {
            let Some(addr) = F::address(*ip).filter(|_| self.source.get(ifindex) != Some(ip)) else {
                continue;
            };
            if note(map::SOURCES, self.sources.insert(ifindex, addr, 0)) {
                self.source.insert(*ifindex, *ip);
            }
        }
        first.map_or(Ok(()), Err)
    }
}
