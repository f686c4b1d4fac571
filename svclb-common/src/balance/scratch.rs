//! Working memory for a first packet.

use crate::{
    balance::path::Path,
    family::Address,
    flow::{FlowEntry, Recipe},
    key::FlowKey,
    service::Backend,
};

/// Working memory of [`learn`](super::learn).
///
/// Keys and entries of IPv6 do not fit into the 512 bytes that a BPF program's
/// frames share, so the caller lends memory from elsewhere.
#[repr(C)]
pub struct Scratch<A: Address> {
    /// The packet's key; the caller fills it in.
    pub key: FlowKey<A>,
    /// The other direction's key.
    pub(super) peer: FlowKey<A>,
    /// The opposite of an entry that is in the way.
    pub(super) other: FlowKey<A>,
    /// The backend that was chosen.
    pub(super) backend: Backend<A>,
    /// Source port towards the backend, network byte order.
    pub(super) sport: u16,
    /// The node's address on the way to the backend.
    pub(super) source: A,
    /// The way there and back.
    pub(super) path: Path<A>,
    /// The entry to be written.
    pub(super) entry: FlowEntry<A>,
}

impl<A: Address> Scratch<A> {
    /// Memory for a packet of `key`.
    pub fn new(key: FlowKey<A>) -> Self {
        let backend = Backend { id: 0, addr: A::ZERO, port: 0, local: false, generation: 0 };
        let entry = FlowEntry::new(Recipe::empty(&key), 0);
        Self {
            key,
            peer: key,
            other: key,
            backend,
            sport: 0,
            source: A::ZERO,
            path: Path::plain(A::ZERO),
            entry,
        }
    }
}
