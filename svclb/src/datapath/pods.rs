//! The map of which clients are local pods.

use std::collections::BTreeMap;

use aya::maps::MapError;
use ipnet::IpNet;
use svclb_common::{
    client::PodRange,
    family::{V4, V6},
    layout::map,
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, Tables, absent, open_hash, read_error},
};

/// By device the addresses of the local pods behind it, at most one range per family. The device
/// `ANY_DEVICE` stands for all that are not there.
pub type Rules = BTreeMap<u32, Vec<IpNet>>;

/// The writer of the map.
pub struct PodMaps {
    v4: FamilyMap<V4>,
    v6: FamilyMap<V6>,
}

/// The map of one family, and what was last written.
struct FamilyMap<F: MapFamily> {
    map: Hash<u32, PodRange<F::Addr>>,
    written: BTreeMap<u32, PodRange<F::Addr>>,
}

impl PodMaps {
    /// Opens the pinned maps and reads what is in them.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self { v4: FamilyMap::open(pins)?, v6: FamilyMap::open(pins)? })
    }

    /// Writes what differs, as far as there is room.
    pub fn apply(&mut self, wanted: &Rules, tables: &Tables) -> Result<(), Error> {
        let v4 = self.v4.apply(wanted, tables);
        self.v6.apply(wanted, tables).and(v4)
    }
}

impl<F: MapFamily> FamilyMap<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        let map: Hash<u32, PodRange<F::Addr>> = open_hash(pins, &F::map(map::PODS))?;
        let written =
            map.iter().collect::<Result<_, _>>().map_err(|error| read_error(F::map(map::PODS), &error))?;
        Ok(Self { map, written })
    }

    fn apply(&mut self, wanted: &Rules, tables: &Tables) -> Result<(), Error> {
        let range = |range: &IpNet| {
            Some(PodRange { addr: F::address(range.network())?, mask: F::address(range.netmask())? })
        };
        let rule = |(index, ranges): (&u32, &Vec<IpNet>)| Some((*index, ranges.iter().find_map(range)?));
        let wanted: BTreeMap<_, _> = wanted.iter().filter_map(rule).collect();
        let mut first = None;
        let mut note = |result: Result<(), MapError>| match result {
            Ok(()) => tables.count_write().is_ok(),
            Err(error) => {
                first.get_or_insert_with(|| Error::map(F::map(map::PODS), &error));
                false
            }
        };
        self.written
            .retain(|index, _| wanted.contains_key(index) || !note(self.map.remove(index).or_else(absent)));
        for (index, range) in wanted {
            if self.written.get(&index) != Some(&range) && note(self.map.insert(index, range, 0)) {
                self.written.insert(index, range);
            }
        }
        first.map_or(Ok(()), Err)
    }
}
