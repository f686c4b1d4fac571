//! Flow tables beside the usual ones, while flows move to tables of another size.
//!
//! Not all hooks get other programs at once. So for a while each program knows both sets of tables: it writes into its
//! own, and what it finds in the others only, it takes over to its own before it goes on. Until then, and since,
//! the setting [`MOVES`] is off, which the verifier takes for a constant: programs pay nothing for this module.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::LruHashMap, macros::btf_map};
use svclb_common::{
    config::MOVES,
    family::{Addr4, Addr6, V4, V6},
    flow::FlowEntry,
    key::FlowKey,
};

use crate::{config::is_set, filter, flow, flow::FlowMaps};

/// As few entries as a table can have: the agent puts a real one in its place when there is something to move.
const NONE: usize = 16;

type Beside<A> = LruHashMap<FlowKey<A>, FlowEntry<A>, NONE>;

/// The other table of established flows of IPv4.
#[btf_map(name = "BESIDE_FLOWS_V4")]
static BESIDE_FLOWS_V4: Beside<Addr4> = LruHashMap::new();
/// The other table of established flows of IPv6.
#[btf_map(name = "BESIDE_FLOWS_V6")]
static BESIDE_FLOWS_V6: Beside<Addr6> = LruHashMap::new();
/// The other table of flows of IPv4 that are not established.
#[btf_map(name = "BESIDE_HALF_OPEN_V4")]
static BESIDE_HALF_OPEN_V4: Beside<Addr4> = LruHashMap::new();
/// The other table of flows of IPv6 that are not established.
#[btf_map(name = "BESIDE_HALF_OPEN_V6")]
static BESIDE_HALF_OPEN_V6: Beside<Addr6> = LruHashMap::new();

/// The maps of a family.
pub(crate) trait BesideMaps: FlowMaps {
    #[doc(hidden)]
    fn beside_flows() -> &'static Beside<Self::Addr>;
    #[doc(hidden)]
    fn beside_half_open() -> &'static Beside<Self::Addr>;
}

macro_rules! beside {
    ($family:ty, $addr:ty, $flows:ident, $half_open:ident) => {
        impl BesideMaps for $family {
            #[inline(always)]
            fn beside_flows() -> &'static Beside<$addr> {
                &$flows
            }
            #[inline(always)]
            fn beside_half_open() -> &'static Beside<$addr> {
                &$half_open
            }
        }
    };
}
beside!(V4, Addr4, BESIDE_FLOWS_V4, BESIDE_HALF_OPEN_V4);
beside!(V6, Addr6, BESIDE_FLOWS_V6, BESIDE_HALF_OPEN_V6);

/// Whether a flow table may hold the tuple: if not, none does. If one does, it is the one that is asked next.
#[inline(never)]
pub(crate) fn may_hold<F: BesideMaps>(key: &FlowKey<F::Addr>) -> bool {
    let may_hold = filter::may_hold::<F>(key);
    if may_hold && is_set(MOVES) && flow::find::<F>(key).is_none() && flow::half_open::<F>(key).is_none() {
        let _moved = moves::<F>(key, F::beside_flows(), F::flows())
            || moves::<F>(key, F::beside_half_open(), F::half_open());
    }
    may_hold
}

/// Forgets what the other tables know under `key`, so that nobody finds it again there.
#[inline(never)]
pub(crate) fn forget<F: BesideMaps>(key: &FlowKey<F::Addr>) {
    if is_set(MOVES) {
        let _gone = F::beside_flows().remove(key);
        let _gone = F::beside_half_open().remove(key);
    }
}

/// Moves an entry from one table to another. In between it is in both: whoever looks finds it.
#[inline(always)]
fn moves<F: BesideMaps>(
    key: &FlowKey<F::Addr>,
    from: &'static Beside<F::Addr>,
    to: &'static impl Table<F>,
) -> bool {
    // SAFETY: as for the usual tables, `flow::find`.
    let Some(entry) = (unsafe { from.get(key) }) else { return false };
    // A full table may have given the entry to another flow, also while it was copied.
    if !entry.recipe.is_for(key) || !to.insert(key, entry) {
        return false;
    }
    if to.holds(key) {
        let _gone = from.remove(key);
    } else {
        to.remove(key);
    }
    true
}

/// A flow table, whatever its size.
trait Table<F: FlowMaps> {
    /// Writes an entry if there is none.
    fn insert(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) -> bool;
    /// Whether the entry under `key` is for it.
    fn holds(&self, key: &FlowKey<F::Addr>) -> bool;
    /// Takes the entry away.
    fn remove(&self, key: &FlowKey<F::Addr>);
}

impl<F: FlowMaps, const N: usize> Table<F> for LruHashMap<FlowKey<F::Addr>, FlowEntry<F::Addr>, N> {
    #[inline(always)]
    fn insert(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) -> bool {
        LruHashMap::insert(self, key, entry, BPF_NOEXIST.into()).is_ok()
    }
    #[inline(always)]
    fn holds(&self, key: &FlowKey<F::Addr>) -> bool {
        // SAFETY: as above.
        unsafe { self.get(key) }.is_some_and(|entry| entry.recipe.is_for(key))
    }
    #[inline(always)]
    fn remove(&self, key: &FlowKey<F::Addr>) {
        let _gone = LruHashMap::remove(self, key);
    }
}
