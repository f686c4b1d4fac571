//! Flow entries: the complete rewrite recipe, and the life of a flow.
//!
//! Each translated flow has two entries, one per direction. Each holds what to
//! write into a packet of its direction, and knows the other's key: the tuple that
//! it writes, reversed, is the tuple that the other direction's packets carry.

pub mod filter;
mod home;
mod hop;
mod life;
mod record;
pub mod state;
pub mod stranger;
mod tag;
mod timeout;

pub use self::{
    home::Home,
    hop::{Epoch, Hop, Link},
    life::{CLASHED, FIN, LEFT, Life, Lived, RST, SEEN, SPOKE, TICK_NS, Tick},
    record::FlowRecord,
    state::FlowState,
    stranger::Stranger,
    timeout::{TIMEOUTS, Timeouts},
};

use self::tag::Tag;
use crate::{
    checksum::Sum,
    family::Address,
    key::{FlowKey, Hook},
    service::{BackendId, ServiceId},
    wire::TcpFlags,
};

/// What happens to a packet after its rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// The node's stack goes on with it.
    Pass = 0,
    /// It is routed here and sent out by the device that the route names: the
    /// stack would refuse it, because its source is an address of this node.
    Forward = 1,
    /// It leaves by the device that it came from: a pod that reaches itself.
    Reflect = 2,
    /// It enters this node: the answer to a process of this node. If
    /// the device of the entry's [`Hop`] has received it, it just goes on; else the loopback device
    /// is made to receive it, from which the stack takes any source.
    Deliver = 3,
    /// It travels unchanged to the backend's node, in a packet from [`Recipe::src`] to
    /// [`Recipe::dst`]. The answers do not come this way: such a flow has one entry.
    Tunnel = 4,
}

impl Action {
    /// The action of that number; [`Pass`](Self::Pass) for what is none.
    #[inline(always)]
    pub fn of(number: u8) -> Self {
        match number {
            1 => Self::Forward,
            2 => Self::Reflect,
            3 => Self::Deliver,
            4 => Self::Tunnel,
            _ => Self::Pass,
        }
    }
}

/// Which direction of its flow an entry translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the client to the backend.
    Original = 0,
    /// From the backend to the client.
    Reply = 1,
}

/// Everything to do to a packet of a known flow.
///
/// Aligned to 8, because its tag is made of whole words: those up to [`Recipe::port_delta`], which are as many as a
/// key has.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe<A: Address> {
    /// New source address.
    pub src: A,
    /// New destination address.
    pub dst: A,
    /// New source port, network byte order.
    pub sport: u16,
    /// New destination port, network byte order.
    pub dport: u16,
    /// Folded sum of the change of both addresses.
    pub addr_delta: u16,
    /// Folded sum of the change of both ports.
    pub port_delta: u16,
    /// [`Action`], [`Direction`], and the [`Hook`] at which the other direction is translated; see [`bits`].
    bits: u8,
    /// IANA protocol number.
    pub proto: u8,
    /// Whose it is. It shares a word with what it does not cover: words are copied whole.
    tag: Tag,
    /// The service cell, for counting.
    pub service: ServiceId,
    /// The backend cell.
    pub backend: BackendId,
    /// The backend's generation when the flow was made.
    pub generation: u32,
}

/// Where the numbers of three enums are in [`Recipe::bits`].
const ACTION: u8 = 0b0_0111;
const DIRECTION: u8 = 0b0_1000;
const PEER_HOOK: u8 = 0b1_0000;

/// Those numbers in one byte.
#[inline(always)]
fn bits(action: Action, direction: Direction, peer_hook: u8) -> u8 {
    action as u8 | (direction as u8) << DIRECTION.trailing_zeros() | peer_hook << PEER_HOOK.trailing_zeros()
}

/// The tuple that a recipe writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port, network byte order.
    pub sport: u16,
    /// Destination port, network byte order.
    pub dport: u16,
}

/// What both directions of a flow have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The service cell.
    pub service: ServiceId,
    /// The backend cell.
    pub backend: BackendId,
    /// Its generation.
    pub generation: u32,
}

impl<A: Address> Recipe<A> {
    /// Makes this the recipe that turns packets of `key` into `new`. It is written field
    /// by field, in place: a copy would not fit on a BPF stack.
    #[inline(always)]
    pub fn fill(
        &mut self,
        key: &FlowKey<A>,
        new: Tuple<A>,
        direction: Direction,
        action: Action,
        peer_hook: Hook,
        owner: Owner,
    ) {
        self.src = new.src;
        self.dst = new.dst;
        self.sport = new.sport;
        self.dport = new.dport;
        self.addr_delta = key.dst.change(new.dst, key.src.change(new.src, Sum::default())).fold();
        self.port_delta = Sum::default().swap16(key.sport, new.sport).swap16(key.dport, new.dport).fold();
        self.bits = bits(action, direction, peer_hook as u8);
        self.proto = key.proto;
        self.service = owner.service;
        self.backend = owner.backend;
        self.generation = owner.generation;
        self.tag = Tag::of(key, self);
    }

    /// A recipe that does nothing to packets of `key` and belongs to nobody.
    pub fn empty(key: &FlowKey<A>) -> Self {
        let mut recipe = Self {
            src: key.src,
            dst: key.dst,
            sport: key.sport,
            dport: key.dport,
            addr_delta: 0,
            port_delta: 0,
            bits: bits(Action::Pass, Direction::Original, key.hook),
            proto: key.proto,
            tag: Tag::default(),
            service: 0,
            backend: 0,
            generation: 0,
        };
        recipe.tag = Tag::of(key, &recipe);
        recipe
    }

    /// The key of the other direction's entry.
    #[inline(always)]
    pub fn peer(&self) -> FlowKey<A> {
        FlowKey {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            proto: self.proto,
            hook: self.peer_hook(),
            pad: 0,
        }
    }

    /// What happens to a packet after its rewriting.
    #[inline(always)]
    pub fn action(&self) -> Action {
        Action::of(self.bits & ACTION)
    }

    /// Number of the [`Hook`] at which the other direction is translated.
    #[inline(always)]
    fn peer_hook(&self) -> u8 {
        (self.bits & PEER_HOOK) >> PEER_HOOK.trailing_zeros()
    }

    /// Whether the other direction has no entry, because it does not come this way.
    #[inline(always)]
    pub fn is_one_way(&self) -> bool {
        self.bits & ACTION == Action::Tunnel as u8
    }

    /// Whether packets go from the client to the backend at `addr` of this node, whose answers
    /// leave by an uplink.
    #[inline(always)]
    pub fn is_delivered_to(&self, addr: &A) -> bool {
        self.is_delivered() && self.dst.is(*addr)
    }

    /// Whether packets go from the client to a backend of this node, whose answers leave by an
    /// uplink.
    #[inline(always)]
    pub fn is_delivered(&self) -> bool {
        self.bits & (ACTION | DIRECTION) == bits(Action::Pass, Direction::Original, 0)
    }

    /// Whether the recipe is one for packets of `key`, and whole; by a chance of 1 in 65,536 that of another flow is as
    /// well.
    #[inline(always)]
    pub fn is_for(&self, key: &FlowKey<A>) -> bool {
        self.tag == Tag::of(key, self)
    }

    /// Whether `key` is that of the other direction's entry.
    #[inline(always)]
    pub fn names(&self, key: &FlowKey<A>) -> bool {
        self.peer() == *key
    }

    /// Whether packets of `key` keep their destination, port included.
    #[inline(always)]
    pub fn keeps_destination(&self, key: &FlowKey<A>) -> bool {
        self.dport == key.dport && self.dst.is(key.dst)
    }

    /// 1 if the entry translates packets from backend to client, else 0.
    #[inline(always)]
    pub fn reply_bit(&self) -> u32 {
        u32::from(self.bits >> DIRECTION.trailing_zeros()) & 1
    }

    /// Whether the entry translates packets from client to backend.
    #[inline(always)]
    pub fn is_original(&self) -> bool {
        self.bits & DIRECTION == 0
    }
}

/// What happens after the rewriting, with its device.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Device for [`Action::Deliver`], else 0.
    pub ifindex: u32,
}

impl Step {
    /// A step that needs no device.
    #[inline(always)]
    pub fn plain(action: Action) -> Self {
        Self { action, ifindex: 0 }
    }

    /// Into this node as if `ifindex` had received it.
    #[inline(always)]
    pub fn deliver(ifindex: u32) -> Self {
        Self { action: Action::Deliver, ifindex }
    }
}

/// Value of the flows.
///
/// With its key and what a hash table of the kernel keeps beside them (48 bytes), one of IPv4 is 128 bytes and
/// begins where a cache line does: an established flow that has not been seen for a while costs two lines of memory.
#[repr(C)]
#[derive(Debug)]
pub struct FlowEntry<A: Address> {
    /// What to do.
    pub recipe: Recipe<A>,
    /// What its packets were.
    pub life: Life,
    /// Where its packets leave the node, if a program has asked.
    pub hop: Hop,
}

impl<A: Address> FlowEntry<A> {
    /// An entry that no packet has used yet.
    #[inline(always)]
    pub fn new(recipe: Recipe<A>, now: u64) -> Self {
        Self { recipe, life: Life::new(now), hop: Hop::default() }
    }

    /// Becomes a copy of another one, in place, for the stack's sake.
    #[inline(always)]
    pub fn copy_from(&mut self, other: &Self) {
        self.recipe = other.recipe;
        self.life.copy_from(&other.life);
        self.hop.copy_from(&other.hop);
    }

    /// Forgets the life of an entry that is being written anew.
    #[inline(always)]
    pub fn begin(&mut self, now: u64, step: Step) {
        self.life.begin(now);
        self.hop.begin(step.ifindex);
    }

    /// Notes a packet of this direction; see [`Life::touch`].
    #[inline(always)]
    pub fn touch(&self, flags: TcpFlags, tick: Tick, now: impl FnOnce() -> u64) {
        self.life.touch(flags, tick, now);
    }

    /// Whether a packet other than a reset has passed in this direction.
    #[inline(always)]
    pub fn is_seen(&self) -> bool {
        self.life.read().state() & SEEN != 0
    }

    /// Whether this direction ended its connection.
    #[inline(always)]
    pub fn is_finished(&self) -> bool {
        self.life.read().state() & (FIN | RST) != 0
    }

    /// The number of the flow's [`FlowState`]. `peer` is its other direction; see [`Lived::number`].
    #[inline(always)]
    pub fn number(&self, peer: Option<&Self>) -> u32 {
        let peer = peer.map(|peer| peer.life.read());
        self.life.read().number(self.recipe.proto, self.recipe.is_original(), peer)
    }

    /// The time before which the flow's last packet passed. `peer` is its other direction; see [`Lived::last`].
    #[inline(always)]
    pub fn last(&self, peer: Option<&Self>) -> u64 {
        let peer = peer.map(|peer| peer.life.read());
        self.life.read().last(peer)
    }
}

#[cfg(test)]
mod tests;
