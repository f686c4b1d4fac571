//! Working memory for a first packet.

use crate::{
    balance::{choice::Choice, path::Path},
    event::Log,
    family::{Addr4, Addr6, Address},
    flow::{FlowEntry, Home, Link, Recipe},
    key::FlowKey,
    outline::Outline,
    service::{AffinityKey, Backend, BackendId, Frontend, ServiceId},
    snat::{PortsKey, PortsMemory},
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};

/// What a packet shows of its flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Number of the [`Sign`]; 0 is none.
    pub sign: u32,
    /// The flow's service cell.
    pub service: ServiceId,
    /// Its backend cell.
    pub backend: BackendId,
    /// The backend cell that its client had before, if there was one; else 0.
    pub former: BackendId,
    /// The generation of that.
    pub(super) generation: u32,
}

impl Shown {
    /// A flow of that owner shows the sign of that number, or nothing. Without a branch: the verifier would follow all
    /// that comes after once for each way.
    #[inline(always)]
    pub(super) fn set(&mut self, sign: u32, service: ServiceId, backend: BackendId) {
        self.sign = sign;
        self.service = service;
        self.backend = backend;
    }
}

/// Working memory of [`learn`](super::learn).
///
/// Keys and entries of IPv6 do not fit into the 512 bytes that a BPF program's
/// frames share, so the caller lends memory from elsewhere.
#[repr(C)]
pub struct Scratch<A: Address> {
    /// The packet's key; the caller fills it in.
    pub key: FlowKey<A>,
    /// Where things are in the packet; the caller fills it in.
    pub outline: Outline,
    /// Ends of a packet whose next hop is asked for: where it comes from.
    pub from: A,
    /// And where it goes.
    pub to: A,
    /// The next hop that was found.
    pub link: Link,
    /// The other direction's key.
    pub(super) peer: FlowKey<A>,
    /// The opposite of an entry that is in the way.
    pub(super) other: FlowKey<A>,
    /// The backend that was chosen.
    pub(super) backend: Backend<A>,
    /// Where it stands in its list.
    pub(super) place: u32,
    /// Source port towards the backend, network byte order.
    pub(super) sport: u16,
    /// The node's address on the way to the backend; or the backend's, if the packet came in another one.
    pub(super) source: A,
    /// The way there and back.
    pub(super) path: Path<A>,
    /// The entry to be written.
    pub(super) entry: FlowEntry<A>,
    /// The client as the affinity table knows it.
    pub(super) client: AffinityKey<A>,
    /// The frontend that the packet is sent to.
    pub(super) frontend: Frontend,
    /// What it may choose from.
    pub(super) choice: Choice,
    /// Whom a source port is looked for towards.
    pub(super) pair: PortsKey<A>,
    /// How far the search is.
    pub(super) memory: PortsMemory,
    /// How searches ended: a [`Found`](super::ports::Found).
    pub(super) found: u32,
    /// [`masquerades`](Self::masquerades), as the verifier shall not know it.
    pub(super) masquerades: u32,
    /// [`is_kept`](Self::is_kept), as the verifier shall not know it: it would follow all
    /// that comes after once for each answer.
    pub(super) kept: u32,
    /// The backend with which the client has another connection by the tuple that its flow was given, and 1; else 0.
    pub(super) clashed: u32,
    /// What the packet shows of its flow.
    pub(super) shown: Shown,
    /// Which table probably has the packet's entry: a [`Home`].
    pub(super) home: u32,
    /// Bytes of the headers around the packet; 0 if it travels alone.
    around: u32,
    /// TCP control bits of a packet that does not travel alone.
    flags: u32,
    /// The event that is being told, in the first record of a log that holds none.
    pub draft: Log,
}

/// Working memory of a CPU, whatever packet it has: a program can use 64 maps, so both families share one.
#[repr(C)]
pub struct Scratches {
    /// For packets of IPv4.
    pub v4: Scratch<Addr4>,
    /// For packets of IPv6.
    pub v6: Scratch<Addr6>,
}

impl<A: Address> Scratch<A> {
    /// Memory for a packet of `key`.
    pub fn new(key: FlowKey<A>) -> Self {
        let backend = Backend { id: 0, addr: A::ZERO, port: 0, local: false, generation: 0 };
        let entry = FlowEntry::new(Recipe::empty(&key), 0);
        Self {
            key,
            outline: Outline::plain(Transport::Udp),
            from: A::ZERO,
            to: A::ZERO,
            link: [0; 3],
            peer: key,
            other: key,
            backend,
            place: 0,
            sport: 0,
            source: A::ZERO,
            path: Path::plain(A::ZERO),
            entry,
            client: AffinityKey { service: 0, client: A::ZERO },
            frontend: Frontend { service: 0, kind: 0 },
            choice: Choice::NONE,
            pair: PortsKey { src: A::ZERO, dst: A::ZERO, port: 0, proto: 0, pad: 0 },
            memory: PortsMemory::default(),
            found: 0,
            masquerades: 0,
            kept: 0,
            clashed: 0,
            shown: Shown::default(),
            home: 0,
            around: 0,
            flags: 0,
            draft: bytemuck::Zeroable::zeroed(),
        }
    }

    /// Whether the packet's entry probably is an established one: where to look for it first.
    #[inline(always)]
    pub fn seems_established(&self) -> bool {
        self.home == Home::Flows as u32
    }

    /// What the packet has shown of its flow.
    #[inline(always)]
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Service cell and backend cell of a packet that was dropped or refused before it had a flow, for the reason of that
    /// number; or 0.
    #[inline(always)]
    pub fn owner(&self, reason: u32) -> (ServiceId, BackendId) {
        let service = if DropReason::is_of_a_service(reason) { self.frontend.service } else { 0 };
        (service, if DropReason::is_of_a_backend(reason) { self.backend.id } else { 0 })
    }

    /// Says that the packet of `key` travels alone.
    #[inline(always)]
    pub fn set_alone(&mut self) {
        self.around = 0;
    }

    /// Says that the packet of `key` travels in another one to `to`, with `around` bytes of headers.
    #[inline(always)]
    pub fn set_inner(&mut self, to: A, around: u32, flags: TcpFlags) {
        self.source = to;
        self.around = around;
        self.flags = flags.0.into();
    }

    /// Whether a flow goes to the backend that the packet around this one does.
    #[inline(always)]
    pub fn is_to(&self, recipe: &Recipe<A>) -> bool {
        recipe.is_delivered_to(&self.source)
    }

    /// Bytes of the headers around the packet; 0 if it travels alone.
    #[inline(always)]
    pub fn around(&self) -> u32 {
        self.around
    }

    /// TCP control bits of a packet that does not travel alone.
    #[inline(always)]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.flags as u8)
    }

    /// Whether half of the packet's flow was found, whose backend and port are in `backend` and `sport`.
    #[inline(always)]
    pub(super) fn is_kept(&self) -> bool {
        self.kept != 0
    }

    /// Says so.
    #[inline(always)]
    pub(super) fn set_kept(&mut self, is_kept: bool) {
        self.kept = is_kept.into();
    }

    /// Whether the flow gets the node's address as its source wherever that is not its own.
    #[inline(always)]
    pub(super) fn masquerades(&self) -> bool {
        self.masquerades != 0
    }

    /// Says so.
    #[inline(always)]
    pub(super) fn set_masquerades(&mut self, masquerades: bool) {
        self.masquerades = masquerades.into();
    }

    /// Takes `sport`, in network byte order, for the port towards the backend, and makes the
    /// other direction's key of it.
    #[inline(always)]
    pub(super) fn aim(&mut self, sport: u16) {
        self.sport = sport;
        self.peer = FlowKey {
            src: self.backend.addr,
            dst: self.path.src,
            sport: self.backend.port,
            dport: sport,
            proto: self.key.proto,
            hook: self.path.back_hook as u8,
            pad: 0,
        };
    }
}
