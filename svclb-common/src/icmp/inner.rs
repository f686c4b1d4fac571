//! Messages that travel in other packets: about the answers of a backend that answers by itself.
//!
//! Who complains about such an answer tells the address that it came from, and so the node that
//! the client sends to. That node puts the message into a packet to the backend, as it does with
//! what the client sends; the node of the backend knows the flow.

use crate::{
    balance::{Scratch, Tables},
    encap::entropy_of,
    icmp::{Icmp, Message, about},
    key::Hook,
};

impl<F: Icmp> Message<'_, F> {
    /// Whether a message that came in another packet, as `scratch` says, is about an answer of the
    /// backend that that packet goes to.
    #[inline(always)]
    pub fn is_for_backend<T: Tables<F>>(&self, tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
        about(tables, Hook::Ingress, self, &mut scratch.key).is_some_and(|entry| scratch.is_to(&entry.recipe))
    }

    /// The source port of the packet that this one is to travel in: that of the flow's own.
    #[inline(always)]
    pub fn entropy(&self) -> u16 {
        self.quote.as_ref().map_or(0, |quote| entropy_of::<F>(quote.ip, quote.ports))
    }
}
