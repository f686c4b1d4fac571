//! Frames, as XDP hooks are given them: before the stack has seen anything.
//!
//! What this hook cannot do, or not alone, goes on to the TC hook of the same device as it
//! is; both use the same tables, so that it makes no difference to a flow who carries it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
};
use svclb_common::{
    encap::Encapsulation,
    family::Family,
    flow::{Action, Recipe},
    key::Hook,
    packet::Packet,
    wire::{Cursor, Eth},
};

use crate::{
    kernel::Maps,
    medium::{Medium, Way},
    route::{self, Found},
};

/// What stands before a packet that was translated here, for the TC hook of the same device:
/// "svcl" in ASCII.
pub(crate) const MARK: u32 = u32::from_be_bytes(*b"svcl");

/// A frame.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Xdp(pub(crate) *mut xdp_md);

impl Medium for Xdp {
    const NEXT: i32 = xdp_action::XDP_PASS as i32;
    const DROP: i32 = xdp_action::XDP_DROP as i32;
    const MAY_BE_PARTIAL: bool = false;

    #[inline(always)]
    fn frame<'f>(self) -> Cursor<'f> {
        // SAFETY: the context lives as long as the program runs. Volatile, so that a function that asks
        // for nothing else is still given the context, not two numbers that the verifier cannot trust.
        let (data, end) = unsafe {
            ((&raw const (*self.0).data).read_volatile(), (&raw const (*self.0).data_end).read_volatile())
        };
        // SAFETY: the kernel's bounds of the packet; who calls keeps no older cursor.
        unsafe { Cursor::new(data as usize as *mut u8, end as usize as *mut u8) }
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
        match route::next_hop::<F, Self>(self, src, dst, size, eth) {
            Found::By(ifindex) if ifindex == self.ifindex() => Way::By(ifindex),
            Found::TooSmall(mtu) => Way::TooBig(mtu),
            Found::By(_) | Found::Nothing => Way::Later,
        }
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
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        if unsafe { bpf_xdp_adjust_meta(self.0, -(size_of::<u32>() as i32)) } == 0 {
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
    fn send(self, _ifindex: u32) -> i32 {
        xdp_action::XDP_TX as i32
    }

    #[inline(always)]
    fn reflect(self) -> i32 {
        xdp_action::XDP_TX as i32
    }

    #[inline(always)]
    fn deliver(self) -> i32 {
        Self::NEXT
    }

    #[inline(always)]
    fn cut(self, bytes: u32) -> bool {
        // SAFETY: the context lives as long as the program runs.
        let len = unsafe { (*self.0).data_end - (*self.0).data };
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
        xdp_action::XDP_TX as i32
    }
}
