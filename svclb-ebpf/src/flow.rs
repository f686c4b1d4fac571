//! The maps of flows: established ones, and those that are not.
//!
//! A flood of first packets fills only the second, so that it pushes out nobody who
//! is established.

use aya_ebpf::{
    bindings::BPF_ANY,
    bindings::BPF_NOEXIST,
    btf_maps::{LruHashMap, PerCpuArray},
    macros::btf_map,
};
use svclb_common::{
    balance::{PutError, Scratch, Scratches},
    family::{Addr4, Addr6, V4, V6},
    flow::{FlowEntry, Recipe},
    key::FlowKey,
    layout::capacity,
    outline::Outline,
    packet::Packet,
    wire::Eth,
};

use crate::filter::{self, FilterMaps};

type Flows<A> = LruHashMap<FlowKey<A>, FlowEntry<A>, { capacity::FLOWS }>;
type HalfOpen<A> = LruHashMap<FlowKey<A>, FlowEntry<A>, { capacity::HALF_OPEN }>;

/// Established flows of IPv4.
#[btf_map(name = "FLOWS_V4")]
static FLOWS_V4: Flows<Addr4> = LruHashMap::new();
/// Established flows of IPv6.
#[btf_map(name = "FLOWS_V6")]
static FLOWS_V6: Flows<Addr6> = LruHashMap::new();
/// Flows of IPv4 that are not established.
#[btf_map(name = "HALF_OPEN_V4")]
static HALF_OPEN_V4: HalfOpen<Addr4> = LruHashMap::new();
/// Flows of IPv6 that are not established.
#[btf_map(name = "HALF_OPEN_V6")]
static HALF_OPEN_V6: HalfOpen<Addr6> = LruHashMap::new();

/// Working memory for first packets.
#[btf_map(name = "SCRATCH")]
static SCRATCH: PerCpuArray<Scratches, 1> = PerCpuArray::new();

/// The maps of a family.
pub(crate) trait FlowMaps: FilterMaps {
    #[doc(hidden)]
    fn flows() -> &'static Flows<Self::Addr>;
    #[doc(hidden)]
    fn half_open() -> &'static HalfOpen<Self::Addr>;
    #[doc(hidden)]
    fn scratch(memory: &mut Scratches) -> &mut Scratch<Self::Addr>;
}

macro_rules! maps {
    ($family:ident, $flows:ident, $half_open:ident, $scratch:ident) => {
        impl FlowMaps for $family {
            #[inline(always)]
            fn flows() -> &'static Flows<Self::Addr> {
                &$flows
            }
            #[inline(always)]
            fn half_open() -> &'static HalfOpen<Self::Addr> {
                &$half_open
            }
            #[inline(always)]
            fn scratch(memory: &mut Scratches) -> &mut Scratch<Self::Addr> {
                &mut memory.$scratch
            }
        }
    };
}
maps!(V4, FLOWS_V4, HALF_OPEN_V4, v4);
maps!(V6, FLOWS_V6, HALF_OPEN_V6, v6);

/// Notes the outline of a packet whose flow its plain headers found: the established path does not, since few ask.
#[inline(always)]
pub(crate) fn note_plain<F: FlowMaps>(packet: &Packet<'_, F>) {
    if packet.l4_offset == size_of::<Eth>() + size_of::<F::Header>()
        && let Some(scratch) = scratch::<F>()
    {
        scratch.outline = Outline::plain(packet.transport);
    }
}

/// An established flow. A key that was written the moment before is written by
/// [`put_wide`](svclb_common::key::put_wide).
#[inline(always)]
pub(crate) fn find<F: FlowMaps>(key: &FlowKey<F::Addr>) -> Option<&'static FlowEntry<F::Addr>> {
    // SAFETY: the recipe never changes while the entry is in the table; should the
    // table evict it under us, its memory stays a flow entry.
    unsafe { F::flows().get(key) }
}

/// A flow that is not established.
#[inline(always)]
pub(crate) fn half_open<F: FlowMaps>(key: &FlowKey<F::Addr>) -> Option<&'static FlowEntry<F::Addr>> {
    // SAFETY: as above.
    unsafe { F::half_open().get(key) }
}

/// The entry of a flow that was just found or made, wherever it is: in the table of established ones, if it `seems_established`.
/// Another CPU may move it between two looks.
#[inline(always)]
pub(crate) fn any<F: FlowMaps>(
    key: &FlowKey<F::Addr>,
    seems_established: bool,
) -> Option<&'static FlowEntry<F::Addr>> {
    let early = if seems_established { None } else { half_open::<F>(key) };
    early.or_else(|| find::<F>(key)).or_else(|| half_open::<F>(key)).or_else(|| find::<F>(key))
}

/// `EEXIST`, as helpers return it.
const EEXIST: i32 = -17;

/// Writes an entry of a flow that is not established.
#[inline(always)]
pub(crate) fn open<F: FlowMaps>(
    key: &FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
    replace: bool,
) -> Result<(), PutError> {
    filter::note::<F>(key);
    let flags = if replace { BPF_ANY } else { BPF_NOEXIST };
    F::half_open().insert(key, entry, flags.into()).map_err(|errno| match errno {
        EEXIST => PutError::Exists,
        _ => PutError::Full,
    })
}

/// Copies the entry, and tells whether it was the flow's before and after. Both are asked, since the tag covers the tuple
/// and not what lies behind it: an entry that is given away meanwhile shows in one of them, unless its new owner has come
/// no further than to what no tag covers.
#[inline(always)]
fn take_copy<F: FlowMaps>(
    key: &FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
    copy: &mut FlowEntry<F::Addr>,
) -> bool {
    copy.copy_from(entry);
    copy.recipe.is_for(key) && entry.recipe.is_for(key)
}

/// Makes a half-open entry an established one. A failure is repaired by the next packet.
#[inline(always)]
pub(crate) fn establish<F: FlowMaps>(
    key: &FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
    copy: &mut FlowEntry<F::Addr>,
) {
    filter::note::<F>(key);
    // Another CPU that was faster has written it, and has perhaps given the entry at hand to another flow since: or the
    // table has.
    if take_copy::<F>(key, entry, copy) && F::flows().insert(key, &*copy, BPF_NOEXIST.into()).is_ok() {
        let _gone = F::half_open().remove(key);
    }
}

/// Makes an established entry one that is not.
#[inline(always)]
pub(crate) fn retire<F: FlowMaps>(
    key: &FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
    copy: &mut FlowEntry<F::Addr>,
) {
    filter::note::<F>(key);
    // As above.
    if take_copy::<F>(key, entry, copy) && F::half_open().insert(key, &*copy, BPF_NOEXIST.into()).is_ok() {
        let _gone = F::flows().remove(key);
    }
}

/// Forgets the entry, established or not.
#[inline(always)]
pub(crate) fn forget<F: FlowMaps>(key: &FlowKey<F::Addr>) {
    let _gone = F::flows().remove(key);
    let _gone = F::half_open().remove(key);
}

/// Whether the recipe is for the packet whose key is in the scratch value. Full tables give the memory of an entry to
/// another flow even while it is read: this is asked when all is read, and before something is written. Where the key
/// is, is asked again, for the stack's sake.
#[inline(always)]
pub(crate) fn holds<F: FlowMaps>(recipe: &Recipe<F::Addr>) -> bool {
    scratch::<F>().is_some_and(|scratch| recipe.is_for(&scratch.key))
}

/// This CPU's working memory for first packets. TC hooks run with bottom halves
/// disabled, so no other packet takes it over before the program ends. (A kernel with
/// `PREEMPT_RT` promises that only with `PREEMPT_RT_NEEDS_BH_LOCK`.)
#[inline(always)]
pub(crate) fn scratch<F: FlowMaps>() -> Option<&'static mut Scratch<F::Addr>> {
    // SAFETY: one user per CPU at a time; all zeros are a valid value.
    SCRATCH.get_ptr_mut(0).map(|memory| F::scratch(unsafe { &mut *memory }))
}
