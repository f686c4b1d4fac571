//! What moves the entries of a flow table to one of another size, while programs that know both are at work.

use svclb_common::{
    family::{Address, Family, V4, V6},
    flow::FlowRecord,
    key::FlowKey,
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    sweep::fd,
    tables::{Hash, open_hash},
};
use crate::sys::hash;

/// Entries that are read by one call.
const STEP: usize = 1024;

/// Moves what is pinned under `from` to what is pinned under `into` and has room for `entries`; tells how many those were.
/// They stay where there is no room for them: those that were not used for the longest time.
pub(super) fn drain(pins: &Pins, from: &str, into: &str, entries: u32) -> Result<u64, Error> {
    if from.ends_with(V4::SUFFIX) {
        Mover::<V4>::open(pins, from, into)?.drain(entries)
    } else {
        Mover::<V6>::open(pins, from, into)?.drain(entries)
    }
}

type Flows<F> = Hash<FlowKey<<F as Family>::Addr>, FlowRecord<<F as Family>::Addr>>;

struct Mover<F: MapFamily> {
    from: Flows<F>,
    into: Flows<F>,
}

impl<F: MapFamily> Mover<F> {
    fn open(pins: &Pins, from: &str, into: &str) -> Result<Self, Error> {
        Ok(Self { from: open_hash(pins, from)?, into: open_hash(pins, into)? })
    }

    fn drain(&self, entries: u32) -> Result<u64, Error> {
        let mut seen = Vec::new();
        self.each(|_, record| {
            seen.push(record.life.seen());
            Ok(())
        })?;
        let since = youngest(&mut seen, room(entries));
        let mut moved = 0;
        self.each(|key, record| {
            moved += u64::from(record.life.seen() >= since && self.moves(key, record)?);
            Ok(())
        })?;
        Ok(moved)
    }

    /// Moves an entry. In between it is in both tables: whoever looks finds it.
    fn moves(&self, key: &FlowKey<F::Addr>, record: &FlowRecord<F::Addr>) -> Result<bool, Error> {
        // A program has been faster.
        if !hash::insert(fd(&self.into), key, &copy(record)).map_err(|error| failed(&error))? {
            return Ok(false);
        }
        let found =
            hash::take::<_, FlowRecord<F::Addr>>(fd(&self.from), key).map_err(|error| failed(&error))?;
        if found.is_none() {
            // And has forgotten it since, or has it in the flow's other home.
            hash::take::<_, FlowRecord<F::Addr>>(fd(&self.into), key).map_err(|error| failed(&error))?;
        }
        Ok(found.is_some())
    }

    fn each(
        &self,
        mut visit: impl FnMut(&FlowKey<F::Addr>, &FlowRecord<F::Addr>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = None;
        loop {
            let batch = hash::batch(fd(&self.from), next, STEP).map_err(|error| failed(&error))?;
            batch.entries.iter().try_for_each(|(key, record)| visit(key, record))?;
            next = batch.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }
}

/// An entry for answers may be copied just before the first one comes, which is noted in the other table: it would be taken
/// for packets of somebody else, to whom the backend is connected by the same tuple (`balance::life`).
fn copy<A: Address>(record: &FlowRecord<A>) -> FlowRecord<A> {
    let life = if record.recipe.is_original() { record.life } else { record.life.answered() };
    FlowRecord { life, ..*record }
}

/// How many entries move to a table: the rest is for flows that begin meanwhile, which must not be pushed out by old ones.
fn room(entries: u32) -> usize {
    usize::try_from(entries - entries / 4).unwrap_or(usize::MAX)
}

/// Since when an entry must have been used to be among so many of the youngest ones.
fn youngest(seen: &mut [u64], room: usize) -> u64 {
    match seen.len().checked_sub(room) {
        None | Some(0) => 0,
        Some(left_out) if left_out == seen.len() => u64::MAX,
        Some(left_out) => *seen.select_nth_unstable(left_out).1,
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::map("of flows", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_table_gets_the_youngest() {
        let table: [(&[u64], usize, u64); 6] = [
            (&[], 4, 0),
            (&[5, 3], 4, 0),
            (&[5, 3, 9, 1], 4, 0),
            (&[5, 3, 9, 1], 3, 3),
            (&[5, 3, 9, 1], 1, 9),
            (&[5, 3], 0, u64::MAX),
        ];
        for (seen, room, since) in table {
            assert_eq!(youngest(&mut seen.to_vec(), room), since, "{seen:?} {room}");
        }
        assert_eq!(room(16), 12);
    }
}
