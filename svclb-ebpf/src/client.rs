//! The maps that know clients: who comes back to which backend, who may use what.

use core::ptr::from_ref;

use aya_ebpf::{
    bindings::BPF_ANY,
    btf_maps::{LpmTrie, LruHashMap, lpm_trie::Key as TrieKey},
    macros::btf_map,
};
use svclb_common::{
    family::{Addr4, Addr6, Address, Family, V4, V6},
    key::{Key, Wide},
    layout::capacity,
    service::{Affinity, AffinityKey, RangeKey, ServiceId},
};

type Affinities<A> = LruHashMap<AffinityKey<A>, Affinity, { capacity::AFFINITIES }>;
type SourceRanges<A> = LpmTrie<RangeKey<A>, u32, { capacity::SOURCE_RANGES }>;

/// IPv4 clients that come back.
#[btf_map(name = "AFFINITIES_V4")]
static AFFINITIES_V4: Affinities<Addr4> = LruHashMap::new();
/// IPv6 clients that come back.
#[btf_map(name = "AFFINITIES_V6")]
static AFFINITIES_V6: Affinities<Addr6> = LruHashMap::new();
/// IPv4 source ranges.
#[btf_map(name = "SOURCE_RANGES_V4")]
static SOURCE_RANGES_V4: SourceRanges<Addr4> = LpmTrie::new();
/// IPv6 source ranges.
#[btf_map(name = "SOURCE_RANGES_V6")]
static SOURCE_RANGES_V6: SourceRanges<Addr6> = LpmTrie::new();

/// The maps of a family.
pub(crate) trait ClientMaps: Family {
    #[doc(hidden)]
    fn affinities() -> &'static Affinities<Self::Addr>;
    #[doc(hidden)]
    fn source_ranges() -> &'static SourceRanges<Self::Addr>;
}

macro_rules! maps {
    ($family:ident, $affinities:ident, $source_ranges:ident) => {
        impl ClientMaps for $family {
            #[inline(always)]
            fn affinities() -> &'static Affinities<Self::Addr> {
                &$affinities
            }
            #[inline(always)]
            fn source_ranges() -> &'static SourceRanges<Self::Addr> {
                &$source_ranges
            }
        }
    };
}
maps!(V4, AFFINITIES_V4, SOURCE_RANGES_V4);
maps!(V6, AFFINITIES_V6, SOURCE_RANGES_V6);

/// The backend that a client comes back to.
#[inline(always)]
pub(crate) fn affinity<F: ClientMaps>(key: &AffinityKey<F::Addr>) -> Option<Affinity> {
    // SAFETY: the value is copied at once.
    unsafe { F::affinities().get(key) }.copied()
}

/// Writes the backend that a client comes back to.
#[inline(always)]
pub(crate) fn keep<F: ClientMaps>(key: &AffinityKey<F::Addr>, affinity: &Affinity) {
    // An LRU table makes room; should it fail, the client may get another backend next time.
    let _written = F::affinities().insert(key, affinity, BPF_ANY.into());
}

/// A key of the source ranges as the kernel reads it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Prefix<A> {
    /// Bits that count.
    len: u32,
    key: RangeKey<A>,
}

// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 8 bytes.
unsafe impl<A: Address> Key for Prefix<A> {}

/// Whether the source ranges of a service admit an address. A function of its own, for the
/// stack's sake.
#[inline(never)]
pub(crate) fn admits<F: ClientMaps>(service: ServiceId, addr: &F::Addr) -> bool {
    let bits = 8 * size_of::<RangeKey<F::Addr>>() as u32;
    let key = Wide::new(Prefix { len: bits, key: RangeKey { service, addr: *addr } });
    // SAFETY: aya's key has the same fields in the same places.
    let key = unsafe { &*from_ref(key.get()).cast::<TrieKey<RangeKey<F::Addr>>>() };
    F::source_ranges().get(key).is_some()
}
