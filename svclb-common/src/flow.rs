//! Flow entries: the complete rewrite recipe, and the life of a flow.
//!
//! Each translated flow has two entries, one per direction. Each holds what to
//! write into a packet of its direction, and knows the other's key: the tuple that
//! it writes, reversed, is the tuple that the other direction's packets carry.

mod hop;
mod record;
pub mod state;
pub mod stranger;
mod timeout;

pub use self::{
    hop::{Epoch, Hop, Link},
    record::FlowRecord,
    state::FlowState,
    stranger::Stranger,
    timeout::{TIMEOUTS, Timeouts},
};

use crate::{
    cell::{Word32, Word64},
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
    /// [`Recipe::ifindex`] has received it, it just goes on; else the loopback device
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
#[repr(C)]
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
    /// [`Action`].
    pub action: u8,
    /// [`Hook`] at which the other direction is translated.
    pub peer_hook: u8,
    /// [`Direction`].
    pub direction: u8,
    /// IANA protocol number.
    pub proto: u8,
    /// Device for [`Action::Deliver`].
    pub ifindex: u32,
    /// The service cell, for counting.
    pub service: ServiceId,
    /// The backend cell.
    pub backend: BackendId,
    /// The backend's generation when the flow was made.
    pub generation: u32,
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
        step: Step,
        peer_hook: Hook,
        owner: Owner,
    ) {
        self.src = new.src;
        self.dst = new.dst;
        self.sport = new.sport;
        self.dport = new.dport;
        self.addr_delta = key.dst.change(new.dst, key.src.change(new.src, Sum::default())).fold();
        self.port_delta = Sum::default().swap16(key.sport, new.sport).swap16(key.dport, new.dport).fold();
        self.action = step.action as u8;
        self.peer_hook = peer_hook as u8;
        self.direction = direction as u8;
        self.proto = key.proto;
        self.ifindex = step.ifindex;
        self.service = owner.service;
        self.backend = owner.backend;
        self.generation = owner.generation;
    }

    /// A recipe that does nothing to packets of `key` and belongs to nobody.
    pub fn empty(key: &FlowKey<A>) -> Self {
        Self {
            src: key.src,
            dst: key.dst,
            sport: key.sport,
            dport: key.dport,
            addr_delta: 0,
            port_delta: 0,
            action: Action::Pass as u8,
            peer_hook: key.hook,
            direction: Direction::Original as u8,
            proto: key.proto,
            ifindex: 0,
            service: 0,
            backend: 0,
            generation: 0,
        }
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
            hook: self.peer_hook,
            pad: 0,
        }
    }

    /// Whether the other direction has no entry, because it does not come this way.
    #[inline(always)]
    pub fn is_one_way(&self) -> bool {
        self.action == Action::Tunnel as u8
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
        self.is_original() && self.action == Action::Pass as u8
    }

    /// Whether the recipe can be one for packets of `key`: its sums say what it changes.
    #[inline(always)]
    pub fn is_for(&self, key: &FlowKey<A>) -> bool {
        let addresses = key.dst.change(self.dst, key.src.change(self.src, Sum::default())).fold();
        let ports = Sum::default().swap16(key.sport, self.sport).swap16(key.dport, self.dport).fold();
        self.proto == key.proto && self.addr_delta == addresses && self.port_delta == ports
    }

    /// Whether `key` is that of the other direction's entry.
    #[inline(always)]
    pub fn names(&self, key: &FlowKey<A>) -> bool {
        self.peer() == *key
    }

    /// Whether the entry translates packets from client to backend.
    #[inline(always)]
    pub fn is_original(&self) -> bool {
        self.direction == Direction::Original as u8
    }
}

/// What happens after the rewriting, with its device.
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

/// State bit: a packet of this direction has passed, other than a reset.
pub const SEEN: u32 = 1;
/// State bit: this direction has sent its FIN.
pub const FIN: u32 = 2;
/// State bit: this direction has sent a reset.
pub const RST: u32 = 4;
/// State bit: this direction has sent something other than a SYN or a reset.
pub const SPOKE: u32 = 8;

/// State bit of the entry towards the backend: the flow does not count as one that the backend has any more.
pub const LEFT: u32 = 16;

/// Value of the flows.
///
/// The life is written by whichever CPU sees a packet; a lost race loses a tick of
/// the clock or is repeated by the next packet.
#[repr(C)]
#[derive(Debug)]
pub struct FlowEntry<A: Address> {
    /// What to do.
    pub recipe: Recipe<A>,
    /// [`SEEN`], [`FIN`], [`RST`], [`SPOKE`], [`LEFT`].
    pub state: Word32,
    /// Last packet: `CLOCK_MONOTONIC_COARSE` in nanoseconds, to within [`TICK_NS`].
    pub seen: Word64,
    /// The [`Tick`] in which that was written.
    pub tick: Word32,
    /// Where its packets leave the node, if a program has asked.
    pub hop: Hop,
}

/// A short time, by its number: that of jiffies, divided by 64. Jiffies cost nothing to ask for, but
/// only the kernel knows how long they are: 1 to 10 ms. So a tick is a number that differs after
/// [`TICK_NS`] at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    /// The one that so many jiffies are in.
    #[inline(always)]
    pub fn of(jiffies: u64) -> Self {
        Self((jiffies >> 6) as u32)
    }
}

/// The time stamp of a flow is at most this old, and is not written by each packet, so that a busy
/// flow's cache line stays clean.
pub const TICK_NS: u64 = 1_000_000_000;

impl<A: Address> FlowEntry<A> {
    /// An entry that no packet has used yet.
    #[inline(always)]
    pub fn new(recipe: Recipe<A>, now: u64) -> Self {
        Self {
            recipe,
            state: Word32::new(0),
            seen: Word64::new(now),
            tick: Word32::new(0),
            hop: Hop::default(),
        }
    }

    /// Forgets the life of an entry that is being written anew.
    #[inline(always)]
    pub fn begin(&mut self, now: u64) {
        self.state.store(0);
        self.seen.store(now);
        self.hop.forget();
    }

    /// Notes a packet of this direction. `now` is asked for in a new tick only: a precise clock costs as
    /// much as a lookup.
    #[inline(always)]
    pub fn touch(&self, flags: TcpFlags, tick: Tick, now: impl FnOnce() -> u64) {
        if self.tick.load() != tick.0 {
            self.tick.store(tick.0);
            self.seen.store(now());
        }
        let old = self.state.load();
        let mut state = old;
        if flags.any(TcpFlags::RST) {
            state |= RST;
        } else {
            // Whoever has really reset its connection sends nothing more on it: the reset was
            // a stray one, which the receiver ignored.
            const { assert!(TcpFlags::FIN as u32 == FIN >> 1 && TcpFlags::SYN as u32 == SPOKE >> 2) };
            let (fin, syn) = (u32::from(flags.0 & TcpFlags::FIN), u32::from(flags.0 & TcpFlags::SYN));
            state = state & !RST | SEEN | fin << 1 | (syn << 2 ^ SPOKE);
        }
        if state != old {
            self.state.store(state);
        }
    }

    /// Notes that the flow has left its backend. Returns whether that is news.
    #[inline(always)]
    pub fn leaves(&self) -> bool {
        let old = self.state.load();
        self.state.store(old | LEFT);
        old & LEFT == 0
    }

    /// Whether a packet other than a reset has passed in this direction.
    #[inline(always)]
    pub fn is_seen(&self) -> bool {
        self.state.load() & SEEN != 0
    }

    /// Whether this direction ended its connection.
    #[inline(always)]
    pub fn is_finished(&self) -> bool {
        self.state.load() & (FIN | RST) != 0
    }

    /// The number of the flow's [`FlowState`]. `peer` is its other direction; where a table has lost that one, it
    /// is taken to have done what this one has.
    #[inline(always)]
    pub fn number(&self, peer: Option<&Self>) -> u32 {
        let own = self.state.load();
        let other = match peer {
            Some(peer) => peer.state.load(),
            None => own,
        };
        let (client, backend) = if self.recipe.is_original() { (own, other) } else { (other, own) };
        state::number(self.recipe.proto, client, backend)
    }

    /// The time before which the flow's last packet passed: the stamp is known to within [`TICK_NS`]. `peer` is its
    /// other direction: a flow that speaks one way only is in use as well.
    #[inline(always)]
    pub fn last(&self, peer: Option<&Self>) -> u64 {
        let seen = self.seen.load();
        let seen = match peer {
            Some(peer) => seen.max(peer.seen.load()),
            None => seen,
        };
        seen.wrapping_add(TICK_NS)
    }
}

#[cfg(test)]
mod tests;
