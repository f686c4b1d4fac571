//! The map of pods whose sockets are left alone: the control groups of these pods.

use std::collections::BTreeSet;

use aya::maps::MapError;
use svclb_common::{layout::map, socket::ANY_OPTED_OUT};

use super::{
    Error,
    pins::Pins,
    tables::{Hash, Tables, absent, open_hash, read_error},
};

/// The writer of the map.
pub struct OptOutMap {
    map: Hash<u64, u32>,
    /// What is in it.
    held: BTreeSet<u64>,
}

impl OptOutMap {
    /// Opens the pinned map and reads what is in it.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        let map: Hash<u64, u32> = open_hash(pins, map::OPT_OUTS)?;
        let held = map.keys().collect::<Result<_, _>>();
        let held = held.map_err(|error| read_error(map::OPT_OUTS.into(), &error))?;
        Ok(Self { map, held })
    }

    /// Makes the map hold these groups, as far as there is room.
    pub fn apply(&mut self, groups: &BTreeSet<u64>, tables: &Tables) -> Result<(), Error> {
        let mut wanted = groups.clone();
        if !wanted.is_empty() {
            wanted.insert(ANY_OPTED_OUT);
        }
        // What goes makes room for what comes; the word that there is any is the lowest number, and so the first of
        // what comes.
        let gone: Vec<_> = self.held.difference(&wanted).copied().collect();
        for group in gone {
            let removed = self.map.remove(&group).or_else(absent);
            Self::note(removed, tables)?;
            self.held.remove(&group);
        }
        let come: Vec<_> = wanted.difference(&self.held).copied().collect();
        for group in come {
            let inserted = self.map.insert(group, 1, 0);
            Self::note(inserted, tables)?;
            self.held.insert(group);
        }
        Ok(())
    }

    fn note(written: Result<(), MapError>, tables: &Tables) -> Result<(), Error> {
        written.map_err(|error| Error::map(map::OPT_OUTS, &error))?;
        tables.count_write()
    }
}
