//! Entries that only the tables beside the usual ones know, as while flows move to tables of another size.

use aya::maps::HashMap;
use svclb_common::{
    FlowRecord,
    family::{Addr4, Addr6, Address},
    key::FlowKey,
    layout::map,
};

use super::lab::{ENTRIES, Lab, of};

/// The tables beside the usual ones, with room for as many entries.
pub const BESIDE: [(&str, u32); 4] = [
    ("BESIDE_FLOWS_V4", ENTRIES),
    ("BESIDE_FLOWS_V6", ENTRIES),
    ("BESIDE_HALF_OPEN_V4", ENTRIES),
    ("BESIDE_HALF_OPEN_V6", ENTRIES),
];

impl Lab {
    /// Puts all entries of flows into the tables beside theirs.
    pub fn set_aside(&mut self) -> anyhow::Result<()> {
        self.each_table(|name| (name.to_owned(), format!("BESIDE_{name}")))
    }

    /// Puts back what is still there. An error if an entry is in both tables: it would come to life again.
    pub fn bring_back(&mut self) -> anyhow::Result<()> {
        self.each_table(|name| (format!("BESIDE_{name}"), name.to_owned()))
    }

    fn each_table(&mut self, way: impl Fn(&str) -> (String, String)) -> anyhow::Result<()> {
        for name in [map::FLOWS, map::HALF_OPEN] {
            let (from, to) = way(&of(name, true));
            self.move_entries::<Addr4>(&from, &to)?;
            let (from, to) = way(&of(name, false));
            self.move_entries::<Addr6>(&from, &to)?;
        }
        Ok(())
    }

    fn move_entries<A: Address>(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        const NOEXIST: u64 = 1;
        let entries = self.entries::<A>(from)?;
        let mut table = HashMap::<_, FlowKey<A>, FlowRecord<A>>::try_from(self.map_mut(to)?)?;
        entries.iter().try_for_each(|(key, record)| table.insert(key, record, NOEXIST))?;
        let mut table = HashMap::<_, FlowKey<A>, FlowRecord<A>>::try_from(self.map_mut(from)?)?;
        Ok(entries.iter().try_for_each(|(key, _)| table.remove(key))?)
    }
}
