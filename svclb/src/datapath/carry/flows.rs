//! Flows on their way from one layout's tables to another's.
//!
//! Between the moment in which the older programs are kept from opening flows and the one in which their tables are empty,
//! programs of two layouts have flows of their own, and the older ones meet each packet first. So whatever is in the older
//! tables goes by the older recipe, and no flow of this layout may have one of those tuples. That is what an entry is
//! [held](svclb_common::flow::Lived::held) for: this layout's programs find the same recipe, alive, whatever the older ones have seen of it. A
//! client that uses the tuple again goes on with that backend, by both tables; nobody else is given its ports. What the
//! older programs have seen is told when they have the flow no more.

use aya::maps::MapError;
use svclb_common::{
    family::Family,
    flow::{FlowRecord, Home, state::has_ended},
    key::FlowKey,
    layout::map,
};

use crate::{
    datapath::{
        Error,
        family::MapFamily,
        pins::Pins,
        sweep::{Filter, batch, fd, take},
        tables::{Hash, absent, open_hash},
    },
    sys::hash::{self, Batch},
};

/// What is done with the entries of the older tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// All of them are held.
    Hold,
    /// Both entries of a connection that has ended are taken out of the older tables, all others are held. The older
    /// programs must open nothing any more: they would take its last packets for a new one's.
    TakeEnded,
    /// All are taken out, and what is held and was not there is given up: the older programs have forgotten it.
    TakeAll,
}

/// What a walk through the older tables has come to, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those that are new.
    pub written: usize,
    /// Those that were held, and are as the older programs have seen them now.
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
    /// What is held is an earlier flow of the same tuple.
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
    let is_same = own.recipe == older.1.recipe;
    if !own.life.is_held() {
        // Programs of this layout have seen packets of it, which no older one has: theirs is the later flow.
        return if is_same { Step::Keep } else { Step::Leave };
    }
    if !is_same {
        // The older programs have opened the flow anew since it was converted.
        return Step::Replace;
    }
    let told = FlowRecord { life: older.1.life, ..*own };
    match (older.0, home) {
        (Home::Flows, Home::HalfOpen) => Step::Promote(told),
        _ if told.life == own.life => Step::Keep,
        _ => Step::Update(told),
    }
}

/// How many entries are asked for at once.
const STEP: usize = 1024;

/// Goes through the entries of the older tables. `entry` reads one; marks come before entries.
pub(super) fn convert<F: MapFamily, V: aya::Pod>(
    older: &Pins,
    own: &Pins,
    pass: Pass,
    entry: Entry<F, V>,
) -> Result<Moved, Error> {
    let older = Older::<F, V> {
        flows: open_hash(older, &name::<F>(Home::Flows))?,
        half_open: open_hash(older, &name::<F>(Home::HalfOpen))?,
        entry,
    };
    let mut tables = Tables::<F> {
        flows: open_hash(own, &F::map(map::FLOWS))?,
        half_open: open_hash(own, &F::map(map::HALF_OPEN))?,
        filter: Filter::open::<F>(own)?,
    };
    let mut moved = Moved::default();
    // Who is established while this goes on is met among those. Who ends meanwhile goes the other way, and is met the next
    // time.
    while older.walk(&mut tables, pass, &mut moved)? && pass == Pass::TakeAll {}
    if pass == Pass::TakeAll {
        tables.give_up()?;
    }
    Ok(moved)
}

fn name<F: MapFamily>(home: Home) -> String {
    F::map(match home {
        Home::Flows => map::FLOWS,
        Home::HalfOpen => map::HALF_OPEN,
    })
}

type Key<F> = FlowKey<<F as Family>::Addr>;
type Record<F> = FlowRecord<<F as Family>::Addr>;

/// An entry with its table and its key.
type Found<F> = (Home, Key<F>, Record<F>);

/// What reads an entry of the older tables.
type Entry<F, V> = fn(&Key<F>, &V) -> Option<Record<F>>;

/// The older layout's tables.
struct Older<F: MapFamily, V: aya::Pod> {
    flows: Hash<FlowKey<F::Addr>, V>,
    half_open: Hash<FlowKey<F::Addr>, V>,
    entry: Entry<F, V>,
}

impl<F: MapFamily, V: aya::Pod> Older<F, V> {
    fn map(&self, home: Home) -> &Hash<FlowKey<F::Addr>, V> {
        match home {
            Home::Flows => &self.flows,
            Home::HalfOpen => &self.half_open,
        }
    }

    /// Goes through all entries once. Tells whether there were any.
    fn walk(&self, tables: &mut Tables<F>, pass: Pass, moved: &mut Moved) -> Result<bool, Error> {
        let mut has_any = false;
        for home in [Home::HalfOpen, Home::Flows] {
            let name = name::<F>(home);
            let mut next = None;
            loop {
                let Batch { entries, next: behind } = batch(self.map(home), &name, next, STEP)?;
                has_any |= !entries.is_empty();
                for (key, value) in entries {
                    if let Some(record) = (self.entry)(&key, &value) {
                        self.meet(tables, pass, (home, key, record), moved)?;
                        continue;
                    }
                    moved.left += 1;
                    if pass == Pass::TakeAll {
                        self.take(home, &key)?;
                    }
                }
                next = behind;
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(has_any)
    }

    fn meet(
        &self,
        tables: &mut Tables<F>,
        pass: Pass,
        (home, key, record): Found<F>,
        moved: &mut Moved,
    ) -> Result<(), Error> {
        let peer = match pass {
            Pass::Hold => None,
            Pass::TakeEnded | Pass::TakeAll => self.peer(&key, &record)?,
        };
        let is_taken = match pass {
            Pass::Hold => false,
            Pass::TakeEnded => peer.as_ref().is_some_and(|(_, _, peer)| {
                let proto = record.recipe.proto;
                has_ended(record.life.number(proto, record.recipe.is_original(), Some(peer.life)))
            }),
            Pass::TakeAll => true,
        };
        if !is_taken {
            let held = FlowRecord { life: record.life.held(), ..record };
            return tables.take_in(home, &key, &held, moved);
        }
        // Both first, then what is to be known of them: the tuple may be another flow's from then on.
        let own = self.take(home, &key)?;
        let peer = peer.map(|(home, key, _)| self.take(home, &key)).transpose()?.flatten();
        for (home, key, record) in own.into_iter().chain(peer) {
            tables.take_in(home, &key, &record, moved)?;
        }
        Ok(())
    }

    /// The other direction's entry.
    fn peer(&self, of: &FlowKey<F::Addr>, record: &FlowRecord<F::Addr>) -> Result<Option<Found<F>>, Error> {
        let key = record.recipe.peer();
        for home in [Home::Flows, Home::HalfOpen, Home::Flows] {
            match self.map(home).get(&key, 0) {
                Ok(value) => {
                    let peer = (self.entry)(&key, &value).filter(|peer| peer.recipe.names(of));
                    return Ok(peer.map(|peer| (home, key, peer)));
                }
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(Error::map(name::<F>(home), &error)),
            }
        }
        Ok(None)
    }

    /// Takes an entry out, if it is still there.
    fn take(&self, home: Home, key: &FlowKey<F::Addr>) -> Result<Option<Found<F>>, Error> {
        let taken = hash::take::<_, V>(fd(self.map(home)), key);
        let taken = taken.map_err(|error| Error::map(name::<F>(home), &error))?;
        Ok(taken.and_then(|value| (self.entry)(key, &value)).map(|record| (home, *key, record)))
    }
}

type Flows<A> = Hash<FlowKey<A>, FlowRecord<A>>;

/// This layout's tables.
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
    fn find(&mut self, first: Home, key: &FlowKey<F::Addr>) -> Result<Option<(Home, Record<F>)>, Error> {
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

    /// Removes what is held still: the older programs had made room with it, or it had ended and its tuple was another's.
    fn give_up(&self) -> Result<(), Error> {
        for (home, map) in [(Home::HalfOpen, &self.half_open), (Home::Flows, &self.flows)] {
            let name = name::<F>(home);
            let mut next = None;
            loop {
                let Batch { entries, next: behind } = batch(map, &name, next, STEP)?;
                for (key, record) in entries.iter().filter(|(_, record)| record.life.is_held()) {
                    take(map, &name, key, record)?;
                }
                next = behind;
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(())
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

    fn record(port: u16, life: Lived) -> FlowRecord<Addr4> {
        let key = FlowKey { src: Addr4(1), dst: Addr4(2), sport: port, dport: 80, proto: 6, hook: 0, pad: 0 };
        FlowRecord::new(Recipe::empty(&key), life, 0)
    }

    #[test]
    fn table() {
        use Home::{Flows, HalfOpen};
        let lived = Lived::new(SEEN | SPOKE, 100 * TICK_NS);
        let finished = Lived::new(SEEN | SPOKE | FIN, 100 * TICK_NS);
        let (seen, ended, other) = (record(7, lived), record(7, finished), record(8, lived));
        let (held, other_held) = (record(7, lived.held()), record(8, lived.held()));
        let table = [
            ("it is new", (HalfOpen, held), None, Step::Write),
            ("it is new", (Flows, held), None, Step::Write),
            ("it is held", (Flows, held), Some((Flows, held)), Step::Keep),
            ("it has ended, and nobody is to know", (HalfOpen, held), Some((Flows, held)), Step::Keep),
            ("it is established", (Flows, held), Some((HalfOpen, held)), Step::Promote(held)),
            ("it is told", (Flows, seen), Some((Flows, held)), Step::Update(seen)),
            ("its end is told", (HalfOpen, ended), Some((Flows, held)), Step::Update(ended)),
            ("it is told late", (Flows, seen), Some((HalfOpen, held)), Step::Promote(seen)),
            ("another has its tuple", (Flows, held), Some((Flows, other_held)), Step::Replace),
            ("another has its tuple", (Flows, seen), Some((Flows, other_held)), Step::Replace),
            ("it has gone on here", (HalfOpen, ended), Some((Flows, seen)), Step::Keep),
            ("another has begun here", (Flows, held), Some((HalfOpen, other)), Step::Leave),
            ("another has begun here", (HalfOpen, ended), Some((HalfOpen, other)), Step::Leave),
        ];
        for (what, (home, older), own, expected) in table {
            let found = step::<V4>((home, &older), own.as_ref().map(|(home, own)| (*home, own)));
            assert_eq!(found, expected, "{what}");
        }
    }
}
