//! Forgetting what nobody promises to remember: what the agent's collector decides.
//!
//! Programs never look for flows that are over; the agent walks the tables instead, a few entries at a time, while
//! packets go on using them. So nothing is taken away on the word of an old copy: an entry goes only as it was judged,
//! and a flow's two entries go together or not at all.

use crate::{
    family::Address,
    flow::{FlowRecord, FlowState, Home, Timeouts},
    key::FlowKey,
    service::{Affinity, BackendId},
    wire::Transport,
};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// The flow tables of a family, and the backends that flows were made for.
pub trait FlowTables<A: Address> {
    /// Why a table cannot be asked.
    type Error;
    /// The entry under `key`: the one that packets use, should both tables have one.
    fn find(&self, key: &FlowKey<A>) -> Result<Option<(Home, FlowRecord<A>)>, Self::Error>;
    /// Takes the entry away that is under `key` if it is still `judged`; tells whether it was.
    fn take(&self, home: Home, key: &FlowKey<A>, judged: &FlowRecord<A>) -> Result<bool, Self::Error>;
    /// Writes an entry that was read or taken, unless that table has one by now.
    fn put_back(&self, home: Home, key: &FlowKey<A>, record: &FlowRecord<A>) -> Result<(), Self::Error>;
    /// The generation of a backend's cell.
    fn generation(&self, backend: BackendId) -> Option<u32>;
}

/// By what flows are judged.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds, from before the entries were read.
    pub now: u64,
    /// For how long flows are remembered.
    pub timeouts: Timeouts,
}

/// What became of an entry that the collector met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// The state of the entry's flow, unless it is counted where its other entry is met.
    pub state: Option<FlowState>,
    /// Entries that went.
    pub removed: u32,
    /// Whether it has left the established flows, because its other entry was lost.
    pub is_demoted: bool,
}

impl Met {
    const NOTHING: Self = Self { state: None, removed: 0, is_demoted: false };
}

impl Judge {
    /// Whether nobody promises to remember a flow. `is_current` is whether the backend is still there that it was
    /// made for: a UDP flow has left it, and its entries only name the sender of datagrams that are under way.
    pub fn is_over(&self, state: FlowState, idle: u64, is_current: bool) -> bool {
        let is_stale = !is_current && matches!(state, FlowState::UdpNew | FlowState::UdpStream);
        let seconds = self.timeouts.of(state);
        let seconds = if is_stale { seconds.min(self.timeouts.of(FlowState::UdpNew)) } else { seconds };
        idle > u64::from(seconds) * SECOND
    }

    /// Meets the entry that was found under `key` a moment ago, and takes its flow away if that is over.
    pub fn meet<A: Address, T: FlowTables<A>>(
        &self,
        tables: &T,
        key: &FlowKey<A>,
        found: &FlowRecord<A>,
    ) -> Result<Met, T::Error> {
        let is_fresh = found.idle(None, self.now) <= u64::from(self.timeouts.shortest()) * SECOND;
        // Flows are counted by the client's entry, and by the other one if that is alone.
        if is_fresh && !found.recipe.is_original() {
            return Ok(Met::NOTHING);
        }
        let peer_key = found.recipe.peer();
        let peer = tables.find(&peer_key)?.filter(|(_, peer)| peer.recipe.names(key));
        // It may have gone with the other one, which was met first.
        if peer.is_none() && tables.find(key)?.is_none() {
            return Ok(Met::NOTHING);
        }
        let other = peer.as_ref().map(|(_, peer)| peer);
        let state = found.flow_state(other);
        let is_counted = found.recipe.is_original() || peer.is_none();
        let met = Met { state: is_counted.then_some(state), ..Met::NOTHING };
        let is_over = self.is_over(state, found.idle(other, self.now), is_current(tables, found));
        let is_half = found.recipe.is_original() && peer.is_none();
        if !is_over && !is_half {
            return Ok(met);
        }
        // As packets see it, and as it is by now.
        let Some((home, now)) = tables.find(key)? else { return Ok(Met::NOTHING) };
        if now != *found {
            return Ok(met);
        }
        if !is_over {
            return Ok(Met { is_demoted: home == Home::Flows && demote(tables, key, found)?, ..met });
        }
        let Some((peer_home, peer)) = peer else {
            let is_gone = tables.take(home, key, found)?;
            return Ok(if is_gone { Met { removed: 1, ..Met::NOTHING } } else { met });
        };
        let own = (home, key, found);
        let other = (peer_home, &peer_key, &peer);
        // The client's goes first: without the other one it would send packets whose answers nobody translates.
        let (first, second) = if found.recipe.is_original() { (own, other) } else { (other, own) };
        if !tables.take(first.0, first.1, first.2)? {
            return Ok(met);
        }
        if !tables.take(second.0, second.1, second.2)? {
            // The flow goes on, unless the client has begun anew meanwhile.
            if tables.find(first.1)?.is_none() {
                tables.put_back(first.0, first.1, first.2)?;
            }
            return Ok(met);
        }
        Ok(Met { removed: 2, ..Met::NOTHING })
    }

    /// Whether a client comes back to nobody any more. `seconds` is the affinity of its service, 0 without one.
    pub fn has_left(&self, affinity: &Affinity, seconds: u32) -> bool {
        self.now.saturating_sub(affinity.seen) >= u64::from(seconds) * SECOND
    }
}

/// Whether the backend is there that a UDP flow was made for. Other flows stay with theirs.
fn is_current<A: Address>(tables: &impl FlowTables<A>, found: &FlowRecord<A>) -> bool {
    found.recipe.proto != Transport::Udp.number()
        || tables.generation(found.recipe.backend) == Some(found.recipe.generation)
}

/// Moves the client's entry of a flow without the other one to where programs look at both: the client's next packet
/// writes the other entry again or, if the tuple is another flow's by now, takes another tuple.
fn demote<A: Address, T: FlowTables<A>>(
    tables: &T,
    key: &FlowKey<A>,
    found: &FlowRecord<A>,
) -> Result<bool, T::Error> {
    // Packets find it at all times; while both tables have it, they may use either.
    tables.put_back(Home::HalfOpen, key, found)?;
    let is_moved = tables.take(Home::Flows, key, found)?;
    if !is_moved {
        tables.take(Home::HalfOpen, key, found)?;
    }
    Ok(is_moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_seen_within_the_timeout_stays() {
        let judge = Judge { now: 0, timeouts: Timeouts::DEFAULT };
        for state in FlowState::ALL {
            let limit = u64::from(Timeouts::DEFAULT.of(state)) * SECOND;
            assert!(!judge.is_over(state, limit, true));
            assert!(judge.is_over(state, limit + 1, true));
        }
        let (new, stream) = (30 * SECOND, 120 * SECOND);
        for state in [FlowState::UdpNew, FlowState::UdpStream] {
            assert!(!judge.is_over(state, new, false) && judge.is_over(state, new + 1, false));
        }
        assert!(!judge.is_over(FlowState::UdpStream, stream, true));
        assert!(!judge.is_over(FlowState::Established, stream, false), "TCP never leaves its backend");
    }

    #[test]
    fn clients_come_back_until_their_time_is_over() {
        let affinity = Affinity { backend: 1, generation: 1, seen: 100 * SECOND, place: 0, pad: 0 };
        for (now, seconds, left) in
            [(100, 10, false), (109, 10, false), (110, 10, true), (100, 0, true), (0, 1, false)]
        {
            let judge = Judge { now: now * SECOND, timeouts: Timeouts::DEFAULT };
            assert_eq!(judge.has_left(&affinity, seconds), left, "{now} {seconds}");
        }
    }
}
