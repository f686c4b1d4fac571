//! Flow tables of another size than those that are pinned: their entries move, and no flow is lost.
//!
//! A table of the size that is wanted is made beside the pinned one, under its name and that size. The entries are
//! copied, the hooks get programs that know the new table, what was written meanwhile is copied too, and then the new
//! table takes the old one's name. Whatever ends an agent on the way, the next one finds both and goes on: what is in
//! any of them is copied to the one that is wanted then.
//!
//! While some hooks run old programs and some new ones (milliseconds), both tables are kept alike as far as a copy
//! that never stops can: a flow that begins in that time may find its second packet treated as its first.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use aya::maps::{MapError, MapInfo};
use svclb_common::{
    family::{Address, V4, V6},
    flow::{FlowRecord, Home},
    key::FlowKey,
    layout::map,
};

use super::{
    Error,
    family::MapFamily,
    object::{Capacities, Shape, shapes},
    pins::Pins,
    tables::{Hash, open_hash},
};
use crate::sys::hash;

/// The tables whose entries move, without their family: those of a flow's two homes.
const HOMES: [(Home, &str); 2] = [(Home::Flows, map::FLOWS), (Home::HalfOpen, map::HALF_OPEN)];

/// Entries that are read by one call.
const STEP: usize = 1024;

/// Between two copies while programs are replaced.
const PAUSE: Duration = Duration::from_millis(2);

/// Entries that were used no longer than this before a move began, in nanoseconds, may be written while it lasts: older
/// ones are copied once, or they would push the young out of a smaller table again and again.
const YOUNG: u64 = 10_000_000_000;

/// What the name of a table on its way to a size has between its name and that size. A BPF file system takes no dot.
const TO: &str = "_to_";

/// Where each flow table is to be, and where its entries are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resize {
    /// The name of the pin that the programs are to use, by that of the table, where it is another or where there are
    /// entries to take over.
    tables: BTreeMap<String, Move>,
}

/// A table whose entries move.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    /// The name of its pin.
    into: String,
    /// Names of the pins where entries are.
    from: Vec<String>,
}

/// Whether a table is on its way to another size.
pub fn is_pending(pins: &Pins) -> bool {
    names(pins).is_ok_and(|names| names.iter().any(|name| name.contains(TO)))
}

fn names(pins: &Pins) -> Result<Vec<String>, Error> {
    let folder = pins.maps();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file(folder)(error)),
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(Error::file(folder))
}

impl Resize {
    /// Compares what is pinned with the sizes that are wanted.
    pub fn plan(pins: &Pins, capacities: &Capacities) -> Result<Self, Error> {
        let (names, shapes) = (names(pins)?, shapes(capacities)?);
        let mut tables = BTreeMap::new();
        for name in HOMES.iter().flat_map(|(_, name)| [V4::map(name), V6::map(name)]) {
            let Some(wanted) = shapes.get(&name) else { continue };
            let moving = Move::new(&name, wanted.max_entries, &names, |pin| entries_of(pins, pin))?;
            tables.extend(moving.map(|moving| (name, moving)));
        }
        Ok(Self { tables })
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The pin that the programs are to use for a table.
    pub(super) fn pin(&self, pins: &Pins, name: &str) -> PathBuf {
        pins.map(self.tables.get(name).map_or(name, |moving| &moving.into))
    }

    /// Whether a pinned table differs from what is wanted in nothing but a size that can be changed.
    pub(super) fn allows(&self, name: &str, found: Shape, wanted: Shape) -> bool {
        self.tables.contains_key(name) && Shape { max_entries: wanted.max_entries, ..found } == wanted
    }

    /// Copies what is there, and goes on to do so until the programs of all hooks know the new tables. They are
    /// loaded, so that those are pinned.
    pub fn begin(&self, pins: &Pins) -> Result<Moving, Error> {
        let (v4, v6) = (Copier::<V4>::open(self, pins)?, Copier::<V6>::open(self, pins)?);
        let round = move |since| v4.forward(since).and_then(|v4| Ok(v4 + v6.forward(since)?));
        let (v4, v6) = (Copier::<V4>::open(self, pins)?, Copier::<V6>::open(self, pins)?);
        let back = move |since| v4.back(since).and_then(|()| v6.back(since));
        let since = super::clock::now().saturating_sub(YOUNG);
        let copied = round(0)?;
        for (name, Move { into, .. }) in &self.tables {
            tracing::info!(table = name, to = into, entries = copied, "a flow table changes its size");
        }
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("resize".into()).spawn(move || {
            loop {
                back(since)?;
                round(since)?;
                match stopped.recv_timeout(PAUSE) {
                    Err(RecvTimeoutError::Timeout) => {}
                    // What old programs wrote last.
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return round(since).map(drop),
                }
            }
        });
        let thread =
            thread.map_err(|error| Error::Load { what: "resize".into(), reason: error.to_string() })?;
        Ok(Moving { stop, thread })
    }

    /// Ends a move when the programs of all hooks know the new tables, and gives those their names.
    pub fn finish(self, moving: Moving, pins: &Pins) -> Result<(), Error> {
        drop(moving.stop);
        let ended = moving.thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        self.settle(pins)
    }

    fn settle(&self, pins: &Pins) -> Result<(), Error> {
        for (name, Move { into, from }) in &self.tables {
            if into != name {
                // In one step: a reader finds the one or the other.
                fs::rename(pins.map(into), pins.map(name)).map_err(Error::file(pins.map(into)))?;
            }
            for pin in from.iter().filter(|pin| *pin != name) {
                fs::remove_file(pins.map(pin)).map_err(Error::file(pins.map(pin)))?;
            }
        }
        Ok(())
    }
}

impl Move {
    /// Where the entries of the table `name` are, and where they are to be; `None` if they are there.
    fn new(
        name: &str,
        wanted: u32,
        pins: &[String],
        size: impl Fn(&str) -> Result<u32, Error>,
    ) -> Result<Option<Self>, Error> {
        let beside = format!("{name}{TO}");
        let mut from: Vec<_> = pins.iter().filter(|pin| pin.starts_with(&beside)).cloned().collect();
        from.sort();
        let is_pinned = pins.iter().any(|pin| pin == name);
        let into = if is_pinned && size(name)? != wanted {
            // Oldest last: what is younger counts.
            from.push(name.to_owned());
            format!("{beside}{wanted}")
        } else {
            name.to_owned()
        };
        from.retain(|pin| *pin != into);
        Ok((!from.is_empty()).then_some(Self { into, from }))
    }
}

/// The size of a pinned table.
fn entries_of(pins: &Pins, pin: &str) -> Result<u32, Error> {
    let info = MapInfo::from_pin(pins.map(pin)).map_err(|error| Error::map(pin, &error))?;
    Ok(info.max_entries())
}

/// A move that has begun.
pub struct Moving {
    stop: Sender<()>,
    thread: JoinHandle<Result<(), Error>>,
}

type Flows<F> = Hash<
    FlowKey<<F as svclb_common::family::Family>::Addr>,
    FlowRecord<<F as svclb_common::family::Family>::Addr>,
>;

/// The tables of a family, old and new.
struct Copier<F: MapFamily> {
    into: Vec<(Home, Flows<F>)>,
    from: Vec<(Home, Flows<F>)>,
}

impl<F: MapFamily> Copier<F> {
    fn open(resize: &Resize, pins: &Pins) -> Result<Self, Error> {
        let (mut into, mut from) = (Vec::new(), Vec::new());
        for (home, name) in HOMES {
            let name = F::map(name);
            let moving = resize.tables.get(&name);
            into.push((home, open_hash(pins, moving.map_or(&name, |moving| &moving.into))?));
            for pin in moving.into_iter().flat_map(|moving| &moving.from) {
                from.push((home, open_hash(pins, pin)?));
            }
        }
        Ok(Self { into, from })
    }

    /// Copies what only old tables hold and was used since then; tells how many entries that were.
    fn forward(&self, since: u64) -> Result<u64, Error> {
        let mut copied = 0;
        for (home, from) in &self.from {
            let Some((_, to)) = self.into.iter().find(|(of, _)| of == home) else { continue };
            each::<F>(from, |key, record| {
                // A flow that has moved between its homes meanwhile stays where it is.
                if record.life.seen() >= since && !self.knows(key)? && insert::<F>(to, key, &copy(record))? {
                    copied += 1;
                }
                Ok(())
            })?;
        }
        Ok(copied)
    }

    /// Copies flows that began under new programs to where old ones look.
    fn back(&self, since: u64) -> Result<(), Error> {
        let is_half_open = |(home, _): &&(Home, Flows<F>)| *home == Home::HalfOpen;
        let Some((_, young)) = self.into.iter().find(is_half_open) else { return Ok(()) };
        for (_, old) in self.from.iter().filter(is_half_open) {
            each::<F>(young, |key, record| {
                if record.life.seen() >= since {
                    insert::<F>(old, key, &copy(record)).map(drop)
                } else {
                    Ok(())
                }
            })?;
        }
        Ok(())
    }

    fn knows(&self, key: &FlowKey<F::Addr>) -> Result<bool, Error> {
        for (_, table) in &self.into {
            match table.get(key, 0) {
                Ok(_) => return Ok(true),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(false)
    }
}

fn each<F: MapFamily>(
    table: &Flows<F>,
    mut visit: impl FnMut(&FlowKey<F::Addr>, &FlowRecord<F::Addr>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut next = None;
    loop {
        let batch = hash::batch(super::sweep::fd(table), next, STEP).map_err(|error| failed(&error))?;
        batch.entries.iter().try_for_each(|(key, record)| visit(key, record))?;
        next = batch.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// An entry for answers may be copied just before the first one comes: the other table's programs would take what follows
/// for packets of somebody else, to whom the backend is connected by the same tuple (`balance::life`).
fn copy<A: Address>(record: &FlowRecord<A>) -> FlowRecord<A> {
    let life = if record.recipe.is_original() { record.life } else { record.life.answered() };
    FlowRecord { life, ..*record }
}

fn insert<F: MapFamily>(
    table: &Flows<F>,
    key: &FlowKey<F::Addr>,
    record: &FlowRecord<F::Addr>,
) -> Result<bool, Error> {
    hash::insert(super::sweep::fd(table), key, record).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::map("of flows", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_move_from_wherever_they_are() {
        let plan = |wanted: u32, pins: &[&str]| {
            let pins: Vec<_> = pins.iter().map(|pin| (*pin).to_owned()).collect();
            let moving = Move::new("FLOWS_V4", wanted, &pins, |_| Ok(100)).unwrap();
            moving.map(|Move { into, from }| format!("{} > {into}", from.join(" ")))
        };
        let table: [(u32, &[&str], Option<&str>); 9] = [
            (100, &[], None),
            (100, &["FLOWS_V4", "FLOWS_V6"], None),
            (200, &["FLOWS_V4", "HALF_OPEN_V4"], Some("FLOWS_V4 > FLOWS_V4_to_200")),
            // Of families and tables each is by itself.
            (200, &["FLOWS_V6", "FLOWS_V6_to_200"], None),
            // An agent was killed on its way.
            (200, &["FLOWS_V4", "FLOWS_V4_to_200"], Some("FLOWS_V4 > FLOWS_V4_to_200")),
            // And the next one is asked for something else, or for what there was.
            (300, &["FLOWS_V4", "FLOWS_V4_to_200"], Some("FLOWS_V4_to_200 FLOWS_V4 > FLOWS_V4_to_300")),
            (100, &["FLOWS_V4", "FLOWS_V4_to_200"], Some("FLOWS_V4_to_200 > FLOWS_V4")),
            // It was killed between its last two steps.
            (100, &["FLOWS_V4", "FLOWS_V4_to_300"], Some("FLOWS_V4_to_300 > FLOWS_V4")),
            (100, &["FLOWS_V4_to_300"], Some("FLOWS_V4_to_300 > FLOWS_V4")),
        ];
        for (wanted, pins, expected) in table {
            assert_eq!(plan(wanted, pins).as_deref(), expected, "{wanted} {pins:?}");
        }
    }
}
