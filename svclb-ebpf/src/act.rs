//! Carrying out a recipe on a packet.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_l4_csum_replace, bpf_redirect},
};
use svclb_common::{
    balance::LOOPBACK_IFINDEX,
    family::{Family, IpHeader as _},
    flow::{Action, FlowEntry, Recipe},
    key::{FlowKey, Hook},
    packet::Packet,
    verdict::DropReason,
    wire::Transport,
};

use crate::{
    backend,
    kernel::Maps,
    observe::{self, What},
    route,
};

/// The next program of the hook decides; without one the packet goes on.
pub(crate) const NEXT: i32 = TC_ACT_UNSPEC;

/// The packet ends here.
pub(crate) const DROP: i32 = TC_ACT_SHOT;

/// `bpf_redirect` flag: into the device's ingress.
pub(crate) const INGRESS: u64 = 1;

/// `bpf_l4_csum_replace` flags (linux/bpf.h).
const PSEUDO_HEADER: u64 = 1 << 4;
const MANGLED_0: u64 = 1 << 5;
/// Linux 6.16: without it a `CHECKSUM_COMPLETE` IPv6 packet gets a wrong sum, and
/// older kernels refuse it.
const IPV6: u64 = 1 << 7;

/// The loopback device's address. A device takes for the host only what is sent to its
/// own address, and this is the only one that is known here.
const NOBODY: [u8; 6] = [0; 6];

/// Ones' complement: what a port change that changes nothing sums up to.
const NO_CHANGE: u16 = 0xffff;

/// Rewrites the packet as its flow says and sends it on.
#[inline(always)]
pub(crate) fn act<F: Maps>(
    skb: *mut __sk_buff,
    mut packet: Packet<'_, F>,
    entry: &FlowEntry<F::Addr>,
    hook: Hook,
) -> i32 {
    let recipe = &entry.recipe;
    entry.touch(packet.flags, observe::now());
    backend::count_packet::<F>(recipe.service, packet.ip.total_len());

    let action = Action::of(recipe.action);
    match action {
        Action::Forward => {
            if packet.ip.hops() <= 1 {
                return drop_translated::<F>(skb, recipe, DropReason::HopLimit);
            }
            packet.ip.decrement_hops();
        }
        Action::Reflect => (packet.eth.dst, packet.eth.src) = (packet.eth.src, packet.eth.dst),
        // Where the packet just goes on, its device has recognised its own address before.
        Action::Deliver => packet.eth.dst = NOBODY,
        Action::Pass => {}
    }
    let unchecked = packet.is_unchecked();
    let check_at = packet.l4_offset
        + match packet.transport {
            Transport::Tcp => 16,
            Transport::Udp => 6,
        };
    packet.rewrite_headers(recipe);
    // No byte of the packet is touched through `packet` from here on: the helpers may move it.
    if !unchecked
        && !update_check::<F>(skb, check_at as u32, recipe.addr_delta, recipe.port_delta, packet.transport)
    {
        return drop_translated::<F>(skb, recipe, DropReason::Unwritable);
    }
    match action {
        Action::Pass => NEXT,
        Action::Forward => route::forward::<F>(skb, &recipe.src, &recipe.dst)
            .unwrap_or_else(|reason| drop_translated::<F>(skb, recipe, reason)),
        Action::Reflect => redirect(ifindex(skb), 0),
        Action::Deliver if hook == Hook::Ingress && recipe.ifindex == ifindex(skb) => NEXT,
        Action::Deliver => redirect(LOOPBACK_IFINDEX, INGRESS),
    }
}

/// Counts, reports and drops a packet that was sent as `key` says.
#[inline(always)]
pub(crate) fn drop<F: Family>(skb: *mut __sk_buff, key: &FlowKey<F::Addr>, reason: DropReason) -> i32 {
    let what = What { sport: key.sport, dport: key.dport, ifindex: ifindex(skb), proto: key.proto };
    observe::report::<F>(reason, &key.src, &key.dst, what);
    DROP
}

/// Counts, reports and drops a packet of a known flow, under the tuple that it was to get.
#[inline(always)]
fn drop_translated<F: Family>(skb: *mut __sk_buff, recipe: &Recipe<F::Addr>, reason: DropReason) -> i32 {
    let what = What { sport: recipe.sport, dport: recipe.dport, ifindex: ifindex(skb), proto: recipe.proto };
    observe::report::<F>(reason, &recipe.src, &recipe.dst, what);
    DROP
}

/// The transport's checksum, in whatever state the packet keeps it: complete, left
/// to the device, or summed by it. Only the kernel knows, so only its helper can.
#[inline(always)]
fn update_check<F: Family>(
    skb: *mut __sk_buff,
    at: u32,
    addr_delta: u16,
    port_delta: u16,
    transport: Transport,
) -> bool {
    let mangled = match transport {
        Transport::Tcp => 0,
        Transport::Udp => MANGLED_0,
    };
    let replace = |delta: u16, flags: u64| {
        // SAFETY: the context lives as long as the program runs; the helper checks the offset.
        unsafe { bpf_l4_csum_replace(skb, at, 0, u64::from(delta), flags) == 0 }
    };
    let pseudo = mangled | PSEUDO_HEADER;
    let addresses = if F::ICMP_PSEUDO_HEADER {
        replace(addr_delta, pseudo | IPV6) || replace(addr_delta, pseudo)
    } else {
        replace(addr_delta, pseudo)
    };
    addresses && (port_delta == NO_CHANGE || replace(port_delta, mangled))
}

/// The packet's device.
#[inline(always)]
pub(crate) fn ifindex(skb: *mut __sk_buff) -> u32 {
    // SAFETY: the context lives as long as the program runs.
    unsafe { (*skb).ifindex }
}

/// Sends the packet to a device.
#[inline(always)]
pub(crate) fn redirect(ifindex: u32, flags: u64) -> i32 {
    // SAFETY: a helper with plain arguments.
    unsafe { bpf_redirect(ifindex, flags) as i32 }
}
