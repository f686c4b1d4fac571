//! A flow entry as a reader copies it.

use super::{FlowEntry, Hop, Recipe, TICK_NS, state};
use crate::family::Address;

/// A copy of a [`FlowEntry`], for readers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord<A: Address> {
    /// What is done to packets.
    pub recipe: Recipe<A>,
    /// [`FlowEntry::state`].
    pub state: u32,
    /// [`FlowEntry::seen`].
    pub seen: u64,
    /// [`FlowEntry::tick`].
    pub tick: u32,
    /// [`FlowEntry::hop`], which nobody asks a copy for.
    pub hop: [u32; HOP_WORDS],
}

const HOP_WORDS: usize = size_of::<Hop>() / size_of::<u32>();

impl<A: Address> FlowRecord<A> {
    /// The flow's state. `peer` is its other direction; see [`FlowEntry::number`].
    pub fn flow_state(&self, peer: Option<&Self>) -> state::FlowState {
        let other = peer.map_or(self.state, |peer| peer.state);
        let (client, backend) =
            if self.recipe.is_original() { (self.state, other) } else { (other, self.state) };
        state::FlowState::of(self.recipe.proto, client, backend)
    }

    /// Nanoseconds since the flow's last packet, at least; see [`FlowEntry::last`].
    pub fn idle(&self, peer: Option<&Self>, now: u64) -> u64 {
        let seen = peer.map_or(self.seen, |peer| peer.seen.max(self.seen));
        now.saturating_sub(seen.saturating_add(TICK_NS))
    }
}

impl<A: Address> From<&FlowEntry<A>> for FlowRecord<A> {
    fn from(entry: &FlowEntry<A>) -> Self {
        Self {
            recipe: entry.recipe,
            state: entry.state.load(),
            seen: entry.seen.load(),
            tick: entry.tick.load(),
            hop: [0; HOP_WORDS],
        }
    }
}
