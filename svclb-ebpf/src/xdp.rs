//! Frames, as XDP hooks are given them: before the stack has seen anything.
//!
//! What this hook cannot do, or not alone, goes on to the TC hook of the same device as it
//! is; both use the same tables, so that it makes no difference to a flow who carries it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    btf_maps::DevMapHash,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
    macros::btf_map,
};
use svclb_common::{
    encap::Encapsulation,
    event::PACKET,
    family::Family,
    flow::{Action, FlowEntry, Recipe},
    key::Hook,
    layout::capacity,
    packet::Packet,
    wire::{Cursor, Eth, Wire},
};

use crate::{
    flow,
    kernel::Maps,
    medium::{Medium, Way},
    route,
};

/// What stands before a packet that was translated here, for the TC hook of the same device:
/// "svcl" in ASCII.
pub(crate) const MARK: u32 = u32::from_be_bytes(*b"svcl");

/// Other devices that take frames from here, by index.
#[btf_map(name = "XDP_UPLINKS")]
static XDP_UPLINKS: DevMapHash<{ capacity::XDP_UPLINKS }> = DevMapHash::new();

/// Bytes of a frame that are copied at once; what is less at its end is left out.
const CHUNK: usize = 2;

/// So many bytes.
#[repr(C, packed)]
struct Chunk([u8; CHUNK]);

// SAFETY: bytes, of alignment 1.
unsafe impl Wire for Chunk {}

/// A frame. One of several buffers has its headers in the first.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Xdp(pub(crate) *mut xdp_md);

impl Medium for Xdp {
    const NEXT: i32 = xdp_action::XDP_PASS.cast_signed();
    const DROP: i32 = xdp_action::XDP_DROP.cast_signed();
    const IS_FRAME: bool = true;
    const MAY_BE_PARTIAL: bool = false;

    /// Volatile, because the compiler hands a function that needs nothing but the bounds these as
    /// numbers, which the verifier does not take for pointers.
    #[inline(always)]
    fn frame<'f>(self) -> Cursor<'f> {
        // SAFETY: the kernel's bounds of the packet; who calls keeps no older cursor.
        unsafe {
            let data = (&raw const (*self.0).data).read_volatile();
            let end = (&raw const (*self.0).data_end).read_volatile();
            Cursor::new(data as usize as *mut u8, end as usize as *mut u8)
        }
    }

    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        // SAFETY: the context lives as long as the program runs.
        unsafe { (*self.0).ingress_ifindex }
    }

    /// A tag is still in the frame here, as an `EtherType` of its own.
    #[inline(always)]
    fn is_exempt(self) -> bool {
        false
    }

    #[inline(always)]
    fn is_done(self) -> bool {
        false
    }

    /// That of the first buffer.
    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: the context lives as long as the program runs.
        unsafe { (*self.0).data_end - (*self.0).data }
    }

    /// By hand: the helper that does it is of Linux 5.18.
    #[inline(always)]
    fn capture(self, packet: *mut u8) -> u32 {
        let mut rest = self.frame();
        let mut at = 0_u64;
        while at < PACKET as u64 {
            let Some(Chunk(bytes)) = rest.take::<Chunk>() else { break };
            // SAFETY: the loop ends where the room does.
            unsafe { packet.add(at as usize).cast::<[u8; CHUNK]>().write_unaligned(*bytes) };
            at += CHUNK as u64;
        }
        at as u32
    }

    /// All headers are at hand, or the frame ends before they do.
    #[inline(always)]
    fn pull(self, _bytes: u32) -> bool {
        false
    }

    #[inline(always)]
    fn carries(action: Action) -> bool {
        matches!(action, Action::Pass | Action::Forward | Action::Tunnel)
    }

    #[inline(always)]
    fn way<F: Maps>(self, src: &F::Addr, dst: &F::Addr, size: u16, eth: &mut Eth) -> Way {
        // Who is told about its size, TC tells.
        route::next_hop::<F>(self, src, dst, size, eth).map_or(Way::Later, Way::By)
    }

    #[inline(always)]
    fn way_of<F: Maps>(self, entry: &FlowEntry<F::Addr>, size: u16, eth: &mut Eth) -> Way {
        let now = route::epoch(self.ifindex());
        if let Some((device, link)) = entry.hop.find(now, size)
            && self.reaches(device, size)
        {
            eth.set_link(link);
            return Way::By(device);
        }
        let way = self.way::<F>(&entry.recipe.src, &entry.recipe.dst, size, eth);
        if let Way::By(device) = way
            && flow::holds::<F>(&entry.recipe)
        {
            entry.hop.note(now, size, device, eth.link());
        }
        way
    }

    /// Merging happens after this hook.
    #[inline(always)]
    fn merged(self) -> u32 {
        0
    }

    #[inline(always)]
    fn rewrite<F: Maps>(self, mut packet: Packet<'_, F>, recipe: &Recipe<F::Addr>) -> bool {
        packet.rewrite(recipe);
        true
    }

    /// Marks the packet, where the driver has room for that; else the TC hook finds out by itself.
    #[inline(always)]
    fn pass(self) -> i32 {
        const ROOM: i32 = (u32::BITS / u8::BITS).cast_signed();
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        if unsafe { bpf_xdp_adjust_meta(self.0, -ROOM) } == 0 {
            // SAFETY: the kernel's bounds of what stands before the packet.
            let (meta, data) = unsafe { ((*self.0).data_meta as usize as *mut u32, (*self.0).data as usize) };
            if meta.wrapping_add(1) as usize <= data {
                // SAFETY: in bounds by the check above.
                unsafe { meta.write_unaligned(MARK) };
            }
        }
        Self::NEXT
    }

    #[inline(always)]
    fn send(self, ifindex: u32) -> i32 {
        if ifindex == self.ifindex() {
            return xdp_action::XDP_TX.cast_signed();
        }
        // It was there a moment ago.
        let (Ok(verdict) | Err(verdict)) = XDP_UPLINKS.redirect(ifindex, u64::from(xdp_action::XDP_DROP));
        verdict.cast_signed()
    }

    #[inline(always)]
    fn reflect(self) -> i32 {
        xdp_action::XDP_TX.cast_signed()
    }

    #[inline(always)]
    fn deliver(self) -> i32 {
        Self::NEXT
    }

    /// What lies in further buffers cannot be counted on every kernel that has them.
    #[inline(always)]
    fn can_cut(self, len: u16) -> bool {
        // SAFETY: the context lives as long as the program runs.
        let at_hand = unsafe { (*self.0).data_end - (*self.0).data };
        at_hand >= size_of::<Eth>() as u32 + u32::from(len)
    }

    #[inline(always)]
    fn cut(self, bytes: u32) -> bool {
        // SAFETY: the context lives as long as the program runs.
        let len = unsafe { (*self.0).data_end - (*self.0).data };
        // By way of memory, so that the compiler does not add to a pointer in 32 bits, which the verifier refuses.
        // SAFETY: a value of this function's own.
        let len = unsafe { (&raw const len).read_volatile() };
        // SAFETY: as above; no reference into the packet is alive.
        unsafe { bpf_xdp_adjust_tail(self.0, (bytes.wrapping_sub(len)).cast_signed()) == 0 }
    }

    #[inline(always)]
    fn grow(self, bytes: u32) -> bool {
        // SAFETY: as above.
        if unsafe { bpf_xdp_adjust_head(self.0, -bytes.cast_signed()) } != 0 {
            return false;
        }
        let mut frame = self.frame();
        let Some(new) = frame.take::<Eth>() else { return false };
        frame.skip((bytes as usize - size_of::<Eth>()) & 63);
        let Some(old) = frame.take::<Eth>() else { return false };
        *new = *old;
        true
    }

    #[inline(always)]
    fn wrap<F: Family>(self, bytes: u32, _encapsulation: Encapsulation) -> bool {
        self.grow(bytes)
    }

    #[inline(always)]
    fn unwrap(self, bytes: u32) -> bool {
        let mut frame = self.frame();
        let Some(old) = frame.take::<Eth>() else { return false };
        frame.skip((bytes as usize - size_of::<Eth>()) & 63);
        let Some(new) = frame.take::<Eth>() else { return false };
        *new = *old;
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        unsafe { bpf_xdp_adjust_head(self.0, bytes.cast_signed()) == 0 }
    }

    #[inline(always)]
    fn answer(self, _hook: Hook) -> i32 {
        xdp_action::XDP_TX.cast_signed()
    }
}

impl Xdp {
    /// Whether a frame with a packet of `len` bytes can be sent out by a device from here. Not
    /// every device that takes frames takes several buffers.
    #[inline(always)]
    pub(crate) fn reaches(self, ifindex: u32, len: u16) -> bool {
        ifindex == self.ifindex() || self.can_cut(len) && XDP_UPLINKS.get_ifindex(ifindex).is_some()
    }
}
