//! A flow entry as a reader copies it.

use super::{FlowEntry, Hop, Lived, Recipe, state};
use crate::family::Address;

/// A copy of a [`FlowEntry`], for readers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord<A: Address> {
    /// What is done to packets.
    pub recipe: Recipe<A>,
    /// [`FlowEntry::life`].
    pub life: Lived,
    /// [`FlowEntry::hop`], which nobody asks a copy for but its device.
    pub hop: [u32; HOP_WORDS],
}

const HOP_WORDS: usize = size_of::<Hop>() / size_of::<u32>();

impl<A: Address> FlowRecord<A> {
    /// An entry whose next hop is not known. `device` is that of packets that enter this node, or 0.
    pub fn new(recipe: Recipe<A>, life: Lived, device: u32) -> Self {
        let mut hop = [0; HOP_WORDS];
        hop[Hop::DEVICE] = device;
        Self { recipe, life, hop }
    }

    /// The flow's state. `peer` is its other direction; see [`FlowEntry::number`].
    pub fn flow_state(&self, peer: Option<&Self>) -> state::FlowState {
        let peer = peer.map(|peer| peer.life);
        let number = self.life.number(self.recipe.proto, self.recipe.is_original(), peer);
        state::FlowState::ALL[number as usize]
    }

    /// Nanoseconds since the flow's last packet, at least; see [`FlowEntry::last`].
    pub fn idle(&self, peer: Option<&Self>, now: u64) -> u64 {
        now.saturating_sub(self.life.last(peer.map(|peer| peer.life)))
    }
}

impl<A: Address> From<&FlowEntry<A>> for FlowRecord<A> {
    fn from(entry: &FlowEntry<A>) -> Self {
        let mut hop = [0; HOP_WORDS];
        hop[Hop::DEVICE] = entry.hop.device();
        Self { recipe: entry.recipe, life: entry.life.read(), hop }
    }
}

impl<A: Address> From<&FlowRecord<A>> for FlowEntry<A> {
    /// The next hop is not known.
    fn from(record: &FlowRecord<A>) -> Self {
        let entry = Self { recipe: record.recipe, life: record.life.into(), hop: Hop::default() };
        entry.hop.begin(record.hop[Hop::DEVICE]);
        entry
    }
}
