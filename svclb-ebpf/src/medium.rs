//! What holds a packet: a socket buffer at a TC hook, or a frame at an XDP hook.
//!
//! Everything above is written once for both. A medium says how bytes are reached and
//! changed, which checksums are its device's business, and which verdicts there are.

use core::ffi::c_void;

use svclb_common::{
    encap::Encapsulation,
    family::Family,
    flow::{Action, FlowEntry, Recipe},
    key::Hook,
    packet::Packet,
    verdict::DropReason,
    wire::{Cursor, Eth},
};

use crate::kernel::Maps;

/// What holds a packet, as a program is given it.
pub(crate) trait Medium: Copy {
    /// Who comes after us decides: other programs, the stack.
    const NEXT: i32;
    /// The packet ends here.
    const DROP: i32;
    /// Whether it is a frame at an XDP hook.
    const IS_FRAME: bool;
    /// Whether the transport's checksum may be left to the device (`CHECKSUM_PARTIAL`).
    const MAY_BE_PARTIAL: bool;

    /// The bytes of the packet that are at hand. Each caller makes a cursor anew after
    /// anything that may have moved the packet, and drops what came from the old one.
    fn frame<'f>(self) -> Cursor<'f>;
    /// The context, for helpers that take either.
    fn context(self) -> *mut c_void;
    /// The packet's device.
    fn ifindex(self) -> u32;
    /// Whether the packet is none for this hook, before anybody looks at its bytes.
    fn is_exempt(self) -> bool;
    /// Whether a program on the same device has dealt with the packet before the stack got it. True
    /// once: the packet may come by another device with programs.
    fn is_done(self) -> bool;
    /// Bytes of the packet, as far as the medium knows.
    fn length(self) -> u32;
    /// Copies the packet's first bytes, at most [`PACKET`](svclb_common::event::PACKET), to where there is room for so many.
    /// Returns how many.
    fn capture(self, packet: *mut u8) -> u32;
    /// Brings so many bytes to hand, as far as there are; whether more may be there now.
    fn pull(self, bytes: u32) -> bool;
    /// Whether this medium carries out `action`; else the next one does.
    fn carries(action: Action) -> bool;
    /// The way of a packet of `size` bytes from `src` to `dst`. A medium that addresses the
    /// next hop itself writes it into `eth`.
    fn way<F: Maps>(self, src: &F::Addr, dst: &F::Addr, size: u16, eth: &mut Eth) -> Way;
    /// [`way`](Self::way) of a packet of a flow, which may remember it.
    #[inline(always)]
    fn way_of<F: Maps>(self, entry: &FlowEntry<F::Addr>, size: u16, eth: &mut Eth) -> Way {
        self.way::<F>(&entry.recipe.src, &entry.recipe.dst, size, eth)
    }
    /// Bytes of payload of each packet that this one was merged of; 0 if it is one.
    fn merged(self) -> u32;
    /// Rewrites headers and checksums; whether that was possible. No byte of the packet
    /// may be touched through a reference from before.
    fn rewrite<F: Maps>(self, packet: Packet<'_, F>, recipe: &Recipe<F::Addr>) -> bool;
    /// Lets a translated packet go on to the stack.
    fn pass(self) -> i32;
    /// Sends a translated packet out by the device that [`way`](Self::way) found.
    fn send(self, ifindex: u32) -> i32;
    /// Sends a packet whose link addresses are swapped out by its own device.
    fn reflect(self) -> i32;
    /// Makes the loopback device receive the packet.
    fn deliver(self) -> i32;
    /// Whether a packet that says to have `len` bytes can be cut; else the next medium can.
    fn can_cut(self, len: u16) -> bool;
    /// Cuts the packet to so many bytes; whether that was possible.
    fn cut(self, bytes: u32) -> bool;
    /// Makes room for so many bytes behind the Ethernet header.
    fn grow(self, bytes: u32) -> bool;
    /// Makes room for outer headers of so many bytes behind the Ethernet header.
    fn wrap<F: Family>(self, bytes: u32, encapsulation: Encapsulation) -> bool;
    /// Takes so many bytes of outer headers away.
    fn unwrap(self, bytes: u32) -> bool;
    /// Sends the packet to where one came from at `hook`.
    fn answer(self, hook: Hook) -> i32;
}

/// Where a packet leaves the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By this device.
    By(u32),
    /// As the next medium finds: this one cannot, and leaves the packet as it is.
    Later,
    /// It is larger than the way carries, which is so many bytes.
    TooBig(u16),
    /// Nowhere.
    Nowhere(DropReason),
}
