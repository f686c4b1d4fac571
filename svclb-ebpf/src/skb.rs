//! Socket buffers, as TC hooks are given them.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        BPF_F_ADJ_ROOM_FIXED_GSO, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{
        bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_skb_adjust_room,
        bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_pull_data,
    },
};
use svclb_common::{
    balance::LOOPBACK_IFINDEX,
    checksum::{Sum, adjust},
    encap::Encapsulation,
    event::PACKET,
    family::{Address, Family, V4},
    flow::{Action, Recipe},
    key::Hook,
    packet::Packet,
    verdict::DropReason,
    wire::{Cursor, Eth, Transport},
};

use crate::{
    kernel::Maps,
    medium::{Medium, Way},
    route::{self, Found},
    xdp::MARK,
};

/// A socket buffer.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

/// `bpf_redirect` flag: into the device's ingress.
const INGRESS: u64 = 1;

/// `bpf_l4_csum_replace` flags (linux/bpf.h).
const PSEUDO_HEADER: u64 = 1 << 4;
const MANGLED_0: u64 = 1 << 5;
/// Linux 6.16: without it a `CHECKSUM_COMPLETE` IPv6 packet gets a wrong sum, and
/// older kernels refuse it.
const IPV6: u64 = 1 << 7;

/// Ones' complement: what a port change that changes nothing sums up to.
const NO_CHANGE: u16 = 0xffff;

impl Medium for Skb {
    /// The next program of the hook decides; without one the packet goes on.
    const NEXT: i32 = TC_ACT_UNSPEC;
    const DROP: i32 = TC_ACT_SHOT;
    const IS_FRAME: bool = false;
    const MAY_BE_PARTIAL: bool = true;

    #[inline(always)]
    fn frame<'f>(self) -> Cursor<'f> {
        // SAFETY: the kernel's bounds of the packet; who calls keeps no older cursor.
        unsafe { Cursor::new((*self.0).data as usize as *mut u8, (*self.0).data_end as usize as *mut u8) }
    }

    #[inline(always)]
    fn context(self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        // SAFETY: the context lives as long as the program runs.
        unsafe { (*self.0).ifindex }
    }

    /// A tagged packet belongs to the device of its VLAN, whose own hooks see it without the tag.
    #[inline(always)]
    fn is_exempt(self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.0).vlan_present != 0 }
    }

    #[inline(always)]
    fn is_done(self) -> bool {
        // SAFETY: as above; the kernel's bounds of what XDP left before the packet.
        let (meta, data) = unsafe { ((*self.0).data_meta as usize as *mut u32, (*self.0).data as usize) };
        // SAFETY: read and written only where it ends before the packet begins.
        meta.wrapping_add(1) as usize <= data && unsafe { meta.replace(0) } == MARK
    }

    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: the context lives as long as the program runs.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn capture(self, packet: *mut u8) -> u32 {
        const { assert!(PACKET.is_power_of_two()) };
        let len = self.length().min(PACKET as u32);
        if len == 0 {
            return 0;
        }
        // As every verifier sees it: Linux before 6.5 does not conclude from "not zero" that it is one at least.
        let len = (core::hint::black_box(len - 1) & (PACKET as u32 - 1)) + 1;
        // SAFETY: there is room for so many bytes.
        let failed = unsafe { bpf_skb_load_bytes(self.0.cast(), 0, packet.cast(), len) };
        if failed == 0 { len } else { 0 }
    }

    #[inline(always)]
    fn pull(self, bytes: u32) -> bool {
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        unsafe { bpf_skb_pull_data(self.0, (*self.0).len.min(bytes)) == 0 }
    }

    #[inline(always)]
    fn carries(_action: Action) -> bool {
        true
    }

    /// The neighbour is resolved by the kernel, as for a packet of its own.
    #[inline(always)]
    fn way<F: Maps>(self, src: &F::Addr, dst: &F::Addr, size: u16, _eth: &mut Eth) -> Way {
        match route::find::<F, Self>(self, src, dst, size) {
            Found::By(ifindex) => Way::By(ifindex),
            Found::TooSmall(mtu) => Way::TooBig(mtu),
            Found::Nothing => Way::Nowhere(DropReason::NoRoute),
        }
    }

    #[inline(always)]
    fn merged(self) -> u32 {
        // SAFETY: the context lives as long as the program runs.
        unsafe { (*self.0).gso_size }
    }

    #[inline(always)]
    fn rewrite<F: Maps>(self, mut packet: Packet<'_, F>, recipe: &Recipe<F::Addr>) -> bool {
        let transport = packet.transport;
        // A CRC that is left to the device is zero until then; any other is in place.
        if transport == Transport::Sctp {
            packet.rewrite(recipe);
            return true;
        }
        if packet.is_unchecked() {
            // Nothing in the packet makes up for what changes; only IPv4's header does for its addresses.
            let addresses = if F::ICMP_PSEUDO_HEADER { recipe.addr_delta } else { 0 };
            let ports = if packet.is_later() { 0 } else { recipe.port_delta };
            packet.rewrite_headers(recipe);
            self.update_sum(Sum::default().add16(addresses).add16(ports).fold());
            return true;
        }
        if !packet.is_plain() || matches!(recipe.addr_delta, 0 | NO_CHANGE) {
            let at = packet.l4_offset + check_offset(recipe);
            packet.rewrite_headers(recipe);
            return self.update_by_helpers::<F>(at as u32, recipe);
        }
        let before = packet.sum().unwrap_or_default();
        packet.rewrite_headers(recipe);
        let at = size_of::<Eth>() + size_of::<F::Header>() + check_offset(recipe);
        self.update_addresses::<F>(at as u32, recipe)
            && (recipe.port_delta == NO_CHANGE || self.update_ports_in_place::<F>(before, recipe))
    }

    #[inline(always)]
    fn pass(self) -> i32 {
        Self::NEXT
    }

    #[inline(always)]
    fn send(self, ifindex: u32) -> i32 {
        // SAFETY: no next hop is given, the kernel looks it up.
        unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) as i32 }
    }

    #[inline(always)]
    fn reflect(self) -> i32 {
        redirect(self.ifindex(), 0)
    }

    #[inline(always)]
    fn deliver(self) -> i32 {
        redirect(LOOPBACK_IFINDEX, INGRESS)
    }

    #[inline(always)]
    fn can_cut(self, _len: u16) -> bool {
        true
    }

    #[inline(always)]
    fn cut(self, bytes: u32) -> bool {
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        unsafe { (*self.0).len >= bytes && bpf_skb_change_tail(self.0, bytes, 0) == 0 }
    }

    #[inline(always)]
    fn grow(self, bytes: u32) -> bool {
        self.adjust(bytes.cast_signed(), 0)
    }

    /// Merged packets keep their sizes: each was found to fit, outer headers and all.
    #[inline(always)]
    fn wrap<F: Family>(self, bytes: u32, encapsulation: Encapsulation) -> bool {
        let network =
            if F::AF == V4::AF { BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 } else { BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 };
        let transport = match encapsulation {
            Encapsulation::Ip => 0,
            Encapsulation::Gue => BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        };
        self.adjust(bytes.cast_signed(), BPF_F_ADJ_ROOM_FIXED_GSO | network | transport)
    }

    #[inline(always)]
    fn unwrap(self, bytes: u32) -> bool {
        self.adjust(-bytes.cast_signed(), BPF_F_ADJ_ROOM_FIXED_GSO)
    }

    #[inline(always)]
    fn answer(self, hook: Hook) -> i32 {
        match hook {
            Hook::Ingress => redirect(self.ifindex(), 0),
            Hook::Egress => redirect(self.ifindex(), INGRESS),
        }
    }
}

impl Skb {
    /// Adds to the sum of the whole packet, if the device has made it (`CHECKSUM_COMPLETE`).
    #[inline(always)]
    fn update_sum(self, delta: u16) {
        // SAFETY: a helper with plain arguments. It fails where there is no such sum.
        let _sum = unsafe { bpf_csum_update(self.0, delta.into()) };
    }

    /// Makes so many bytes of room behind the Ethernet header, or takes them away.
    #[inline(always)]
    fn adjust(self, bytes: i32, flags: u32) -> bool {
        // SAFETY: the context lives as long as the program runs; no reference into the packet is alive.
        unsafe { bpf_skb_adjust_room(self.0, bytes, BPF_ADJ_ROOM_MAC, flags.into()) == 0 }
    }

    /// Takes other addresses into the transport's checksum, in whatever state the packet keeps it: complete,
    /// left to the device, or summed by it. Only the kernel knows, so only its helper can.
    #[inline(always)]
    fn update_addresses<F: Family>(self, at: u32, recipe: &Recipe<F::Addr>) -> bool {
        let pseudo = mangled(recipe) | PSEUDO_HEADER;
        if F::ICMP_PSEUDO_HEADER {
            self.replace(at, recipe.addr_delta, pseudo | IPV6) || self.replace(at, recipe.addr_delta, pseudo)
        } else {
            self.replace(at, recipe.addr_delta, pseudo)
        }
    }

    /// All of it by the helper. A function of its own, for the stack's sake.
    #[inline(never)]
    fn update_by_helpers<F: Family>(self, at: u32, recipe: &Recipe<F::Addr>) -> bool {
        self.update_addresses::<F>(at, recipe)
            && (recipe.port_delta == NO_CHANGE || self.replace(at, recipe.port_delta, mangled(recipe)))
    }

    #[inline(always)]
    fn replace(self, at: u32, delta: u16, flags: u64) -> bool {
        // SAFETY: the context lives as long as the program runs; the helper checks the offset.
        unsafe { bpf_l4_csum_replace(self.0, at, 0, u64::from(delta), flags) == 0 }
    }

    /// Takes other ports into the transport's checksum of a plain packet, after other addresses. It saves a
    /// call: what those did to the sum `before` tells whether the sum covers ports yet. One that is left to the
    /// device does not, and holds its complement, so that it went the other way. (`inet_proto_csum_replace_by_diff`)
    #[inline(always)]
    fn update_ports_in_place<F: Family>(self, before: u16, recipe: &Recipe<F::Addr>) -> bool {
        let mut rest = self.frame();
        let transport = if is_udp(recipe) { Transport::Udp } else { Transport::Tcp };
        let Some(eth) = rest.take::<Eth>() else { return false };
        let Ok(mut packet) = Packet::<F>::parse_as(eth, rest, transport) else { return false };
        let complete = adjust(before, recipe.addr_delta);
        match packet.sum() {
            // A sum of UDP that is zero is sent as its other representation.
            Some(now) if now == complete || complete == 0 && now == 0xffff => {
                packet.set_sum(adjust(now, recipe.port_delta));
                true
            }
            _ => true,
        }
    }
}

/// Whose packets these are is asked of the recipe, which stays at hand: the stack is scarce here.
#[inline(always)]
fn is_udp<A: Address>(recipe: &Recipe<A>) -> bool {
    recipe.proto == Transport::Udp.number()
}

/// Where the checksum is in the transport header.
#[inline(always)]
fn check_offset<A: Address>(recipe: &Recipe<A>) -> usize {
    if is_udp(recipe) { 6 } else { 16 }
}

/// How the checksum helper is told of UDP's zero.
#[inline(always)]
fn mangled<A: Address>(recipe: &Recipe<A>) -> u64 {
    if is_udp(recipe) { MANGLED_0 } else { 0 }
}

/// Sends a packet to a device.
#[inline(always)]
fn redirect(ifindex: u32, flags: u64) -> i32 {
    // SAFETY: a helper with plain arguments.
    unsafe { bpf_redirect(ifindex, flags) as i32 }
}
