//! Flows on their way from one layout's tables to another's.

use aya::maps::MapError;
use svclb_common::{
    flow::{FlowRecord, Home},
    key::FlowKey,
    layout::map,
};

use crate::{
    datapath::{
        Error,
        family::MapFamily,
        pins::Pins,
        sweep::{Filter, batch, fd},
        tables::{Hash, absent, open_hash},
    },
    sys::hash::{self, Batch},
};

/// What a walk through the older tables has come to, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those that are new.
    pub written: usize,
    /// Those that were there and have heard of something.
    pub updated: usize,
    /// Those whose tuple belongs to another flow by now, or that are none.
    pub left: usize,
}

impl Moved {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            written: self.written + other.written,
            updated: self.updated + other.updated,
            left: self.left + other.left,
        }
    }
}

/// Where an entry of the older tables is to be, for what this layout's hold under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<R> {
    /// Nothing is to be done.
    Keep,
    /// There is none yet.
    Write,
    /// What is there is an earlier flow of the same tuple.
    Replace,
    /// It is to become this, where it is.
    Update(R),
    /// It is to become this, among the established ones.
    Promote(R),
    /// It is of a connection that has the tuple no more.
    Leave,
}

fn step<F: MapFamily>(
    older: (Home, &FlowRecord<F::Addr>),
    own: Option<(Home, &FlowRecord<F::Addr>)>,
) -> Step<FlowRecord<F::Addr>> {
    let Some((home, own)) = own else { return Step::Write };
    if own.recipe != older.1.recipe {
        // Either the older programs have opened the flow anew since it was converted, or those of this layout have,
        // after it had ended: they see no packet of a flow that the older ones have.
        let is_newer = older.1.life.seen() > own.life.seen();
        return if is_newer { Step::Replace } else { Step::Leave };
    }
    let merged = FlowRecord { life: own.life.merged(older.1.life), ..*own };
    match (older.0, home) {
        (Home::Flows, Home::HalfOpen) => Step::Promote(merged),
        _ if merged.life == own.life => Step::Keep,
        _ => Step::Update(merged),
    }
}

/// How many entries are asked for at once.
const STEP: usize = 1024;

/// Converts the entries of the older tables that this layout's do not have, and brings those up to date that they have.
///
/// The programs of this layout have no part in these flows yet; marks come before entries.
pub(super) fn convert<F: MapFamily, V: aya::Pod>(
    older: &Pins,
    own: &Pins,
    entry: impl Fn(&FlowKey<F::Addr>, &V) -> Option<FlowRecord<F::Addr>>,
) -> Result<Moved, Error> {
    let mut tables = Tables::<F> {
        flows: open_hash(own, &F::map(map::FLOWS))?,
        half_open: open_hash(own, &F::map(map::HALF_OPEN))?,
        filter: Filter::open::<F>(own)?,
    };
    let mut moved = Moved::default();
    // Who is established while this goes on is met among those.
    for home in [Home::HalfOpen, Home::Flows] {
        let name = name::<F>(home);
        let from = open_hash::<FlowKey<F::Addr>, V>(older, &name)?;
        let mut next = None;
        loop {
            let Batch { entries, next: behind } = batch(&from, &name, next, STEP)?;
            for (key, value) in entries {
                match entry(&key, &value) {
                    Some(record) => tables.take_in(home, &key, &record, &mut moved)?,
                    None => moved.left += 1,
                }
            }
            next = behind;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(moved)
}

/// Takes all entries out of the older tables, once they are converted. What has ended would keep its tuples otherwise from
/// flows that are opened behind.
pub(super) fn empty<F: MapFamily, V: aya::Pod>(older: &Pins) -> Result<(), Error> {
    for home in [Home::HalfOpen, Home::Flows] {
        let name = name::<F>(home);
        let mut map = open_hash::<FlowKey<F::Addr>, V>(older, &name)?;
        let mut next = None;
        loop {
            let Batch { entries, next: behind } = batch(&map, &name, next, STEP)?;
            for (key, _) in entries {
                map.remove(&key).or_else(absent).map_err(|error| Error::map(&name, &error))?;
            }
            next = behind;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn name<F: MapFamily>(home: Home) -> String {
    F::map(match home {
        Home::Flows => map::FLOWS,
        Home::HalfOpen => map::HALF_OPEN,
    })
}

type Flows<A> = Hash<FlowKey<A>, FlowRecord<A>>;

struct Tables<F: MapFamily> {
    flows: Flows<F::Addr>,
    half_open: Flows<F::Addr>,
    filter: Filter,
}

impl<F: MapFamily> Tables<F> {
    fn map(&mut self, home: Home) -> &mut Flows<F::Addr> {
        match home {
            Home::Flows => &mut self.flows,
            Home::HalfOpen => &mut self.half_open,
        }
    }

    /// The entry under a key, which probably is in the table that the older one is in.
    fn find(
        &mut self,
        first: Home,
        key: &FlowKey<F::Addr>,
    ) -> Result<Option<(Home, FlowRecord<F::Addr>)>, Error> {
        let other = if first == Home::Flows { Home::HalfOpen } else { Home::Flows };
        for home in [first, other, first] {
            match self.map(home).get(key, 0) {
                Ok(record) => return Ok(Some((home, record))),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(Error::map(name::<F>(home), &error)),
            }
        }
        Ok(None)
    }

    fn take_in(
        &mut self,
        home: Home,
        key: &FlowKey<F::Addr>,
        record: &FlowRecord<F::Addr>,
        moved: &mut Moved,
    ) -> Result<(), Error> {
        let own = self.find(home, key)?;
        let step = step::<F>((home, record), own.as_ref().map(|(home, own)| (*home, own)));
        let own_home = own.map_or(home, |(home, _)| home);
        match step {
            Step::Keep => {}
            Step::Leave => moved.left += 1,
            Step::Write => {
                self.filter.renew(key);
                let written = hash::insert(fd(self.map(home)), key, record);
                moved.written += usize::from(written.map_err(|error| Error::map(name::<F>(home), &error))?);
            }
            Step::Replace => {
                self.put(own_home, key, record)?;
                moved.updated += 1;
            }
            Step::Update(record) => {
                self.put(own_home, key, &record)?;
                moved.updated += 1;
            }
            Step::Promote(record) => {
                self.put(Home::Flows, key, &record)?;
                let removed = self.half_open.remove(key).or_else(absent);
                removed.map_err(|error| Error::map(name::<F>(Home::HalfOpen), &error))?;
                moved.updated += 1;
            }
        }
        Ok(())
    }

    /// Replaces an entry. What a program notes in the same moment is noted again by the next packet.
    fn put(&mut self, home: Home, key: &FlowKey<F::Addr>, record: &FlowRecord<F::Addr>) -> Result<(), Error> {
        self.filter.renew(key);
        self.map(home).insert(key, record, 0).map_err(|error| Error::map(name::<F>(home), &error))
    }
}

#[cfg(test)]
mod tests {
    use svclb_common::{
        family::{Addr4, V4},
        flow::{FIN, Lived, Recipe, SEEN, SPOKE, TICK_NS},
        key::FlowKey,
    };

    use super::*;

    fn record(port: u16, state: u32, seconds: u64) -> FlowRecord<Addr4> {
        let key = FlowKey { src: Addr4(1), dst: Addr4(2), sport: port, dport: 80, proto: 6, hook: 0, pad: 0 };
        FlowRecord::new(Recipe::empty(&key), Lived::new(state, seconds * TICK_NS), 0)
    }

    #[test]
    fn table() {
        use Home::{Flows, HalfOpen};
        let spoke = record(7, SEEN | SPOKE, 100);
        let ended = record(7, SEEN | SPOKE | FIN, 100);
        let table = [
            ((HalfOpen, spoke), None, Step::Write),
            ((Flows, spoke), None, Step::Write),
            ((Flows, spoke), Some((Flows, spoke)), Step::Keep),
            ((HalfOpen, spoke), Some((Flows, spoke)), Step::Keep),
            ((Flows, spoke), Some((HalfOpen, spoke)), Step::Promote(spoke)),
            ((HalfOpen, ended), Some((Flows, spoke)), Step::Update(ended)),
            ((Flows, spoke), Some((Flows, ended)), Step::Keep),
            ((Flows, record(7, SEEN, 200)), Some((Flows, spoke)), Step::Update(record(7, SEEN | SPOKE, 200))),
            ((Flows, spoke), Some((Flows, record(8, SEEN, 1))), Step::Replace),
            ((Flows, spoke), Some((HalfOpen, record(8, SEEN, 200))), Step::Leave),
        ];
        for (number, ((home, older), own, expected)) in table.into_iter().enumerate() {
            let found = step::<V4>((home, &older), own.as_ref().map(|(home, own)| (*home, own)));
            assert_eq!(found, expected, "row {number}");
        }
    }
}
