//! Frontends, service cells, slots and backends: what the agent writes and the programs read.
//!
//! ```text
//! frontends: address, port, protocol ─┐
//! node ports: protocol, port ─────────┴─► service cell ─► slots[base .. base + len] ─► backend cell
//! ```
//!
//! A frontend never changes while it exists. All frontends of a service port name
//! the same cell, so one 8-byte store into that cell moves all of them to other
//! backends.

mod algorithm;
pub mod filter;
mod kind;
mod outcome;
mod range;
mod rate;
mod slot;

use crate::{
    cell::{Quiet, Word32, Word64},
    family::Address,
    wire::Transport,
};

pub use algorithm::Algorithm;
pub use kind::FrontendKind;
pub use outcome::{DeviceReason, Entrance, KINDS, Load, Outcomes};
pub use range::{Range, RangeKey, SERVICE_RANGES, ServiceRanges};
pub use rate::{MAX_RATE, Turn, turn};
pub use slot::Slot;

/// Number of a service cell: a service port in one family. 0 is none.
pub type ServiceId = u32;

/// Number of a backend cell. 0 is none.
pub type BackendId = u32;

impl FrontendKind {
    /// The kind of that number.
    pub fn of(number: u32) -> Option<Self> {
        [Self::ClusterIp, Self::NodePort, Self::ExternalIp, Self::LoadBalancer]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// Value of the frontends.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Frontend {
    /// The service cell.
    pub service: ServiceId,
    /// [`FrontendKind`].
    pub kind: u32,
}

/// A run of slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slab {
    /// First slot.
    pub base: u32,
    /// How many.
    pub len: u32,
}

impl Slab {
    /// As one word, so that one store switches base and length together.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        u64::from(self.base) | u64::from(self.len) << 32
    }

    /// The inverse of [`pack`](Self::pack).
    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self { base: word as u32, len: (word >> 32) as u32 }
    }

    /// The slot for a random number: `len` equal shares of the 32-bit range.
    /// The slab must not be empty.
    #[inline(always)]
    pub fn select(self, random: u32) -> u32 {
        self.base.wrapping_add(((u64::from(random) * u64::from(self.len)) >> 32) as u32)
    }
}

/// Which list of a service's backends (kube-proxy's `CategorizeEndpoints`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum List {
    /// What traffic under policy `Cluster` selects from.
    Cluster = 0,
    /// What traffic under policy `Local` selects from.
    Local = 1,
    /// Nobody selects from it: backends that still serve what they have, so that their
    /// flows live on.
    Idle = 2,
}

impl List {
    /// Each list once, in the order of their numbers.
    pub const EACH: [Self; LISTS] = [Self::Cluster, Self::Local, Self::Idle];
}

/// How many lists a service has.
pub const LISTS: usize = 3;

/// Service flag: `internalTrafficPolicy: Local`.
pub const SERVICE_INTERNAL_LOCAL: u32 = 1;
/// Service flag: `externalTrafficPolicy: Local`.
pub const SERVICE_EXTERNAL_LOCAL: u32 = 2;
/// Service flag: some endpoint, wherever it is, could serve. Where the list at hand is
/// empty nevertheless, packets are dropped in silence and not refused.
pub const SERVICE_HAS_ENDPOINTS: u32 = 4;
/// Service flag: its load balancer addresses are open to the source ranges only.
pub const SERVICE_RESTRICTED: u32 = 8;
/// Service flag: the source ranges admit this node's own processes.
pub const SERVICE_ADMITS_HOST: u32 = 16;

/// Flag in the policy of cell 0, which is no service's and so the node's: it may have connections that netfilter
/// translates and that the flow tables do not know yet.
pub const NODE_TAKES_OVER: u32 = 32;
/// Flag there: it has datagram sockets whose flows netfilter translates.
pub const NODE_HAS_INHERITED: u32 = 64;

/// How a service treats its clients.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `SERVICE_*`, in bits 8 to 11 the number of the [`Algorithm`], above them the [`rate`](Self::rate).
    pub flags: u32,
    /// Seconds for which a client comes back to its backend, counted from its last new
    /// connection; 0 is no affinity.
    pub affinity: u32,
}

impl Policy {
    /// As one word.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        u64::from(self.flags) | u64::from(self.affinity) << 32
    }

    /// The inverse of [`pack`](Self::pack).
    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self { flags: word as u32, affinity: (word >> 32) as u32 }
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub fn has(self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// Value of the services: a service port in one family.
#[repr(C)]
#[derive(Debug)]
pub struct ServiceCell {
    /// [`Slab::pack`] of each [`List`]. Written last when backends come, first when they go.
    pub slabs: [Word64; LISTS],
    /// [`Policy::pack`].
    pub policy: Word64,
    /// Slots that belong to each slab, used or not; the agent's own.
    pub capacities: [Word32; LISTS],
    /// Not used; zero.
    pub reserved: Word32,
}

impl ServiceCell {
    /// The slots of `list`.
    #[inline(always)]
    pub fn slab(&self, list: List) -> Slab {
        Slab::unpack(self.slabs[list as usize].load())
    }
}

/// Local address flag, in the value of the node's addresses: it is one.
pub const LOCAL_ADDRESS: u32 = 1;
/// Local address flag: node ports answer on it.
pub const LOCAL_NODE_PORTS: u32 = 2;

/// Key of the affinity table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffinityKey<A> {
    /// The service cell: affinity is one over all frontends of a service port.
    pub service: ServiceId,
    /// The client; the unspecified address stands for the processes of this node whose
    /// sockets are translated, because a socket has no address yet when it connects.
    pub client: A,
}

/// Value of the affinity table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Affinity {
    /// The backend cell.
    pub backend: BackendId,
    /// Its generation.
    pub generation: u32,
    /// When the client last opened a connection: `CLOCK_MONOTONIC_COARSE`, nanoseconds.
    pub seen: u64,
    /// Where the backend stood in its list, from the slab's base: the first place to look.
    pub place: u32,
    /// Zero.
    pub pad: u32,
}

/// Backend flag: the pod runs on this node.
pub const BACKEND_LOCAL: u8 = 1;
/// Backend flag: the pod is terminating. For reports; selection follows the slots.
pub const BACKEND_TERMINATING: u8 = 2;

/// Backend flag: the cell was given up. Its content stays until the cell is used
/// again, for a reader that found it a moment before.
pub const BACKEND_FREE: u8 = 4;

/// The word of a [`BackendCell`] that holds port, protocol and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendHead {
    /// Port, network byte order.
    pub port: u16,
    /// IANA protocol number; 0 in a cell that was never used.
    pub proto: u8,
    /// `BACKEND_*`.
    pub flags: u8,
}

impl BackendHead {
    /// As one word.
    #[inline(always)]
    pub fn pack(self) -> u32 {
        u32::from(self.port) | u32::from(self.proto) << 16 | u32::from(self.flags) << 24
    }

    /// The inverse of [`pack`](Self::pack).
    #[inline(always)]
    pub fn unpack(word: u32) -> Self {
        Self { port: word as u16, proto: (word >> 16) as u8, flags: (word >> 24) as u8 }
    }
}

/// Value of the backends. Address and head are written while no slot names the cell.
#[repr(C)]
#[derive(Debug)]
pub struct BackendCell<A> {
    /// Address.
    pub addr: Quiet<A>,
    /// [`BackendHead`].
    pub head: Word32,
    /// Grows each time the cell is given up. A flow that holds an older number
    /// was made for a backend that is gone.
    pub generation: Word32,
    /// Number of the node's name; the agent's own.
    pub node: Word32,
}

/// A backend as the datapath needs it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend<A> {
    /// Its cell.
    pub id: BackendId,
    /// Address.
    pub addr: A,
    /// Port, network byte order.
    pub port: u16,
    /// Whether the pod runs on this node.
    pub local: bool,
    /// [`BackendCell::generation`].
    pub generation: u32,
}

impl<A: Address> BackendCell<A> {
    /// The backend in this cell, if there is one.
    #[inline(always)]
    pub fn read(&self, id: BackendId) -> Option<Backend<A>> {
        let head = BackendHead::unpack(self.head.load());
        let local = head.flags & BACKEND_LOCAL != 0;
        (head.proto != 0).then(|| Backend {
            id,
            addr: self.addr.load(),
            port: head.port,
            local,
            generation: self.generation.load(),
        })
    }
}

/// Index into the node ports: one row of 65,536 ports per protocol.
#[inline(always)]
pub fn node_port_index(transport: Transport, port: u16) -> u32 {
    transport.index() << 16 | u32::from(u16::from_be(port))
}

/// Longest namespace, Service name or port name: DNS labels (RFC 1123, 63 characters).
pub const LABEL_LEN: usize = 64;

/// Longest node name: a DNS subdomain (253 characters).
pub const NODE_NAME_LEN: usize = 256;

/// Value of the service names: which service port a cell belongs to. Text is padded with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ServiceName {
    /// `metadata.namespace`.
    pub namespace: [u8; LABEL_LEN],
    /// `metadata.name`.
    pub name: [u8; LABEL_LEN],
    /// `spec.ports[].name`, empty for an unnamed port.
    pub port_name: [u8; LABEL_LEN],
    /// IANA protocol number.
    pub proto: u32,
}

/// Value of the node names. Text is padded with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct NodeName(pub [u8; NODE_NAME_LEN]);

/// Value of the per-CPU traffic counters, by service cell.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Traffic {
    /// New flows, connections made at sockets among them.
    pub flows: u64,
    /// Translated packets, both directions.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn values_have_their_sizes() {
        assert_eq!(size_of::<Frontend>(), 8);
        assert_eq!(size_of::<ServiceCell>(), 48);
        assert_eq!(size_of::<RangeKey<Addr4>>(), 8);
        assert_eq!(size_of::<RangeKey<Addr6>>(), 20);
        assert_eq!(size_of::<AffinityKey<Addr6>>(), 20);
        assert_eq!(size_of::<Affinity>(), 24);
        assert_eq!(size_of::<ServiceRanges<Addr4>>(), 80);
        assert_eq!(size_of::<ServiceRanges<Addr6>>(), 296);
        assert_eq!(size_of::<BackendCell<Addr4>>(), 16);
        assert_eq!(size_of::<BackendCell<Addr6>>(), 28);
        assert_eq!(size_of::<ServiceName>(), 196);
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(base: u32, len: u32, port: u16, proto: u8, flags: u8) {
            prop_assert_eq!(Slab::unpack(Slab { base, len }.pack()), Slab { base, len });
            let policy = Policy { flags: base, affinity: len };
            prop_assert_eq!(Policy::unpack(policy.pack()), policy);
            let head = BackendHead { port, proto, flags };
            prop_assert_eq!(BackendHead::unpack(head.pack()), head);
        }

        #[test]
        fn a_selected_slot_is_in_the_slab(base in 0u32..1 << 20, len in 1u32..1 << 20, random: u32) {
            let slot = Slab { base, len }.select(random);
            prop_assert!((base..base + len).contains(&slot));
        }

        #[test]
        fn every_slot_has_an_equal_share(len in 1u32..1000) {
            // The first random number that selects slot i is ceil(i * 2^32 / len).
            let slab = Slab { base: 0, len };
            for i in 0..len {
                let first = (u64::from(i) << 32).div_ceil(u64::from(len)) as u32;
                prop_assert_eq!(slab.select(first), i);
                prop_assert_eq!(i == 0 || slab.select(first - 1) == i - 1, true);
            }
        }
    }
}
