//! Fragments of larger packets, whose ports only the first one carries; the map of what those tell.

use aya_ebpf::{bindings::BPF_ANY, btf_maps::LruHashMap, macros::btf_map};
use svclb_common::{
    balance::{self, Edge, Learned, Place},
    family::{Addr4, Addr6, Family, IpHeader as _, V4, V6},
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, Hook},
    layout::capacity,
    packet::{Absent, Packet},
    verdict::DropReason,
    wire::{Eth, Transport},
};

use crate::{
    act::{act, drop},
    flow,
    kernel::{Kernel, Maps},
    medium::Medium,
    pipeline::KNOWN,
};

type Fragments<A> = LruHashMap<FragmentKey<A>, FragmentHead, { capacity::FRAGMENTS }>;

/// IPv4 datagrams that come in fragments.
#[btf_map(name = "FRAGMENTS_V4")]
static FRAGMENTS_V4: Fragments<Addr4> = LruHashMap::new();
/// IPv6 datagrams that come in fragments.
#[btf_map(name = "FRAGMENTS_V6")]
static FRAGMENTS_V6: Fragments<Addr6> = LruHashMap::new();

/// The map of a family.
pub(crate) trait FragmentMaps: Family {
    #[doc(hidden)]
    fn fragments() -> &'static Fragments<Self::Addr>;
}

macro_rules! maps {
    ($family:ident, $fragments:ident) => {
        impl FragmentMaps for $family {
            #[inline(always)]
            fn fragments() -> &'static Fragments<Self::Addr> {
                &$fragments
            }
        }
    };
}
maps!(V4, FRAGMENTS_V4);
maps!(V6, FRAGMENTS_V6);

/// What the first fragment of a datagram has told.
#[inline(always)]
pub(crate) fn head<F: FragmentMaps>(key: &FragmentKey<F::Addr>) -> Option<FragmentHead> {
    // SAFETY: the value is copied at once.
    unsafe { F::fragments().get(key) }.copied()
}

/// Notes what the first fragment of a datagram tells.
#[inline(always)]
pub(crate) fn keep<F: FragmentMaps>(key: &FragmentKey<F::Addr>, head: &FragmentHead) {
    // An LRU table makes room; should it fail, the datagram is lost, as if its first fragment were.
    let _written = F::fragments().insert(key, head, BPF_ANY.into());
}

/// Deals with a fragment without a transport header, whose outline is noted.
#[inline(always)]
pub(crate) fn handle<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let code = match hook {
        Hook::Ingress => follow_ingress::<F, M>(medium),
        Hook::Egress => follow_egress::<F, M>(medium),
    };
    match (code, hook) {
        (KNOWN, Hook::Ingress) => act_ingress::<F, M>(medium),
        (KNOWN, Hook::Egress) => act_egress::<F, M>(medium),
        (code, _) => code,
    }
}

// Functions of their own, each with its hook known to the compiler.

#[inline(never)]
fn follow_ingress<F: Maps, M: Medium>(medium: M) -> i32 {
    follow::<F, M>(medium, Hook::Ingress)
}

#[inline(never)]
fn follow_egress<F: Maps, M: Medium>(medium: M) -> i32 {
    follow::<F, M>(medium, Hook::Egress)
}

#[inline(never)]
fn act_ingress<F: Maps, M: Medium>(medium: M) -> i32 {
    act_on_later::<F, M>(medium, Hook::Ingress)
}

#[inline(never)]
fn act_egress<F: Maps, M: Medium>(medium: M) -> i32 {
    act_on_later::<F, M>(medium, Hook::Egress)
}

/// Finds the flow of the datagram that the packet is a fragment of.
#[inline(always)]
fn follow<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let mut rest = medium.frame();
    let Some(_eth) = rest.take::<Eth>() else { return M::NEXT };
    let Some(ip) = rest.take::<F::Header>() else { return M::NEXT };
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    let proto = scratch.outline.proto;
    let hook_number = hook as u8;
    scratch.key =
        FlowKey { src: ip.src(), dst: ip.dst(), sport: 0, dport: 0, proto, hook: hook_number, pad: 0 };
    // Which devices the hook is on makes no difference to who translates.
    let place = Place { edge: Edge::Uplink, hook, ifindex: medium.ifindex() };
    match balance::follow::<F, _>(&Kernel { medium }, place, scratch) {
        Learned::Known => KNOWN,
        Learned::NotOurs => M::NEXT,
        Learned::Refused(reason) | Learned::Dropped(reason) => drop::<F, M>(medium, reason),
    }
}

/// Acts on a fragment whose flow was just found.
#[inline(always)]
fn act_on_later<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    let mut rest = medium.frame();
    let Some(eth) = rest.take::<Eth>() else { return M::NEXT };
    let Some(transport) = Transport::of(scratch.key.proto) else { return M::NEXT };
    let mut absent = Absent::default();
    let Ok(packet) = Packet::<F>::later(eth, rest, transport, &mut absent) else { return M::NEXT };
    match flow::any::<F>(&scratch.key, true) {
        Some(entry) => act(medium, packet, entry, hook),
        // Evicted a moment after it was found: the sender repeats itself.
        None => drop::<F, M>(medium, DropReason::FlowTableFull),
    }
}
