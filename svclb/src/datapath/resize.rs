//! Flow tables of another size than those that are pinned: their entries move, and no flow is lost.
//!
//! Not all hooks get other programs at once, and a packet's answer may come by another hook. So programs that know both
//! tables, the old one and the new one, come first: what they find in the other one only, they take over to their own
//! (`svclb-ebpf/src/beside.rs`). Each step begins when all hooks have the programs of the one before:
//!
//! | programs write into | hooks with programs of the step before | |
//! |---|---|---|
//! | the old table | know the old one only, and nothing is in the new one | |
//! | the new table | know both | then what is still in the old one moves, and the new one takes its name |
//! | the new table, and know it only | know both, and nothing is in the old one | |
//!
//! A table on its way is pinned beside the old one, under its name and the new size. Whatever ends an agent on the way, the
//! next one finds both and begins with the first step, which is right at any of them; when it is through, it looks whether
//! that is the size that is wanted now.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
};

use aya::maps::MapInfo;
use svclb_common::{config::MOVES, layout::map};

use super::{
    Error,
    family::map_of,
    mover,
    object::{Capacities, Shape, shapes},
    pins::Pins,
};
use crate::{model::Family, sys::grace};

/// What the name of a table on its way to a size has between its name and that size. A BPF file system takes no dot.
const TO: &str = "_to_";

/// What the name of the table beside one begins with.
const BESIDE: &str = "BESIDE_";

/// Where each flow table is to be, and how far it is on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// By the name of the table.
    tables: BTreeMap<String, Move>,
    step: Step,
}

/// A table whose entries move.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    /// The name of the pin of the table that they move to.
    into: String,
    /// How many entries it takes.
    entries: u32,
}

/// Which programs hooks get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// Those that know both tables and write into the old one.
    #[default]
    Old,
    /// Those that know both and write into the new one.
    New,
    /// Those that know the new one, which has the old one's name.
    Only,
}

/// Where programs find a map, if it is not pinned under its own name with its own size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the map in the bytecode.
    pub name: String,
    /// Its pin.
    pub pin: PathBuf,
    /// How many entries it takes, if it has to be made.
    pub entries: u32,
}

/// Whether a table is on its way to another size.
pub fn is_pending(pins: &Pins) -> bool {
    names(pins).is_ok_and(|names| names.iter().any(|name| name.contains(TO)))
}

fn names(pins: &Pins) -> Result<BTreeSet<String>, Error> {
    let folder = pins.maps();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(Error::file(folder)(error)),
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(Error::file(folder))
}

/// Names of the tables whose size can be changed.
fn tables() -> impl Iterator<Item = String> {
    Family::ALL.into_iter().flat_map(|family| [map::FLOWS, map::HALF_OPEN].map(|name| map_of(family, name)))
}

impl Resize {
    /// Compares what is pinned with the sizes that are wanted. A move that has begun comes to its end first.
    pub fn plan(pins: &Pins, capacities: &Capacities) -> Result<Self, Error> {
        let (names, shapes) = (names(pins)?, shapes(capacities)?);
        let wanted = |name: &str| shapes.get(name).map(|shape| shape.max_entries);
        let size = |pin: &str| entries_of(pins, pin);
        Ok(Self { tables: moves(&names, wanted, size)?, step: Step::Old })
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Settings that the programs of this step have besides their own.
    pub(super) fn flags(&self) -> u32 {
        if self.is_empty() || self.step == Step::Only { 0 } else { MOVES }
    }

    /// Where the programs of this step find tables that move.
    pub(super) fn places(&self, pins: &Pins) -> Vec<Place> {
        let at = |name: String, pin: &str, entries| Place { name, pin: pins.map(pin), entries };
        let place = |(name, Move { into, entries }): (&String, &Move)| {
            let beside = format!("{BESIDE}{name}");
            match self.step {
                Step::Old => vec![at(name.clone(), name, *entries), at(beside, into, *entries)],
                Step::New => vec![at(name.clone(), into, *entries), at(beside, name, *entries)],
                Step::Only => Vec::new(),
            }
        };
        self.tables.iter().flat_map(place).collect()
    }

    /// Whether a pinned table differs from what is wanted in nothing but a size that can be changed.
    pub(super) fn allows(name: &str, found: Shape, wanted: Shape) -> bool {
        tables().any(|table| table == name) && Shape { max_entries: wanted.max_entries, ..found } == wanted
    }

    /// Goes on to the next step, now that all hooks have the programs of this one. False if there is none: nothing moves any
    /// more. Done again after a failure, it does what is left to be done.
    pub fn advance(&mut self, pins: &Pins, capacities: &Capacities) -> Result<bool, Error> {
        if self.is_empty() {
            return Ok(false);
        }
        // No program of the step before is at work any more.
        grace::wait();
        self.step = match self.step {
            Step::Old => Step::New,
            Step::New => {
                for (name, Move { into, entries }) in &self.tables {
                    if pins.map(into).exists() {
                        let moved = mover::drain(pins, name, into, *entries)?;
                        tracing::info!(
                            table = name,
                            entries = moved,
                            room = entries,
                            "a flow table has another size"
                        );
                        // In one step: a reader finds the one or the other.
                        fs::rename(pins.map(into), pins.map(name)).map_err(Error::file(pins.map(into)))?;
                    }
                }
                Step::Only
            }
            Step::Only => {
                *self = Self::plan(pins, capacities)?;
                return Ok(!self.is_empty());
            }
        };
        Ok(true)
    }
}

/// Which tables are to move now.
fn moves(
    pins: &BTreeSet<String>,
    wanted: impl Fn(&str) -> Option<u32>,
    size: impl Fn(&str) -> Result<u32, Error>,
) -> Result<BTreeMap<String, Move>, Error> {
    let (mut begun, mut others) = (BTreeMap::new(), BTreeMap::new());
    for name in tables().filter(|name| pins.contains(name)) {
        let beside = format!("{name}{TO}");
        if let Some(into) = pins.iter().find(|pin| pin.starts_with(&beside)) {
            begun.insert(name, Move { into: into.clone(), entries: size(into)? });
        } else if let Some(entries) = wanted(&name)
            && size(&name)? != entries
        {
            others.insert(name, Move { into: format!("{beside}{entries}"), entries });
        }
    }
    Ok(if begun.is_empty() { others } else { begun })
}

/// The size of a pinned table.
fn entries_of(pins: &Pins, pin: &str) -> Result<u32, Error> {
    let info = MapInfo::from_pin(pins.map(pin)).map_err(|error| Error::map(pin, &error))?;
    Ok(info.max_entries())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_that_has_begun_comes_to_its_end_first() {
        let plan = |wanted: u32, pins: &[&str]| {
            let pins: BTreeSet<_> = pins.iter().map(|pin| (*pin).to_owned()).collect();
            let size = |pin: &str| Ok(pin.split_once(TO).map_or(100, |(_, size)| size.parse().unwrap()));
            let moves = moves(&pins, |_| Some(wanted), size).unwrap();
            let moves = moves.iter().map(|(name, Move { into, entries })| format!("{name} {into} {entries}"));
            moves.collect::<Vec<_>>().join(", ")
        };
        let table: [(u32, &[&str], &str); 8] = [
            (100, &[], ""),
            (200, &["FRONTENDS_V4"], ""),
            (100, &["FLOWS_V4", "FLOWS_V6"], ""),
            (200, &["FLOWS_V4"], "FLOWS_V4 FLOWS_V4_to_200 200"),
            (
                200,
                &["FLOWS_V4", "HALF_OPEN_V6"],
                "FLOWS_V4 FLOWS_V4_to_200 200, HALF_OPEN_V6 HALF_OPEN_V6_to_200 200",
            ),
            // An agent was killed on its way, and the next one is asked for the same, for something else, for what there was.
            (200, &["FLOWS_V4", "FLOWS_V4_to_200", "FLOWS_V6"], "FLOWS_V4 FLOWS_V4_to_200 200"),
            (300, &["FLOWS_V4", "FLOWS_V4_to_200"], "FLOWS_V4 FLOWS_V4_to_200 200"),
            (100, &["FLOWS_V4", "FLOWS_V4_to_200"], "FLOWS_V4 FLOWS_V4_to_200 200"),
        ];
        for (wanted, pins, expected) in table {
            assert_eq!(plan(wanted, pins), expected, "{wanted} {pins:?}");
        }
    }

    /// Which tables the programs of each step write into, and know besides.
    #[test]
    fn neighbours_of_all_steps_find_what_the_others_write() {
        let pins = Pins::new("/");
        let moving = Move { into: "FLOWS_V4_to_200".into(), entries: 200 };
        let at = |step| {
            let resize = Resize { tables: [("FLOWS_V4".to_owned(), moving.clone())].into(), step };
            let pin = |name: &str| {
                let places = resize.places(&pins);
                let place = places.into_iter().find(|place| place.name == name);
                place.map(|place| place.pin.file_name().unwrap().to_string_lossy().into_owned())
            };
            (pin("FLOWS_V4"), pin("BESIDE_FLOWS_V4"), resize.flags())
        };
        let (old, new) = (Some("FLOWS_V4".to_owned()), Some("FLOWS_V4_to_200".to_owned()));
        assert_eq!(at(Step::Old), (old.clone(), new.clone(), MOVES));
        assert_eq!(at(Step::New), (new, old, MOVES));
        // By then the new one has the name.
        assert_eq!(at(Step::Only), (None, None, 0));
        assert_eq!(Resize::default().flags(), 0);
    }
}
