//! The maps of marks: which tuples may be in a flow table.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use svclb_common::{
    family::{Family, V4, V6},
    flow::filter::{self, EraWord, PLACES, place},
    key::FlowKey,
    line::{LINE, Line},
};

use crate::agent::MMAPABLE;

type Filter = Array<Line, { PLACES as usize / LINE }, MMAPABLE>;
type Era = Array<EraWord, 1, MMAPABLE>;

/// Marks of IPv4 tuples.
#[btf_map(name = "FLOW_FILTER_V4")]
static FLOW_FILTER_V4: Filter = Array::new();
/// Marks of IPv6 tuples.
#[btf_map(name = "FLOW_FILTER_V6")]
static FLOW_FILTER_V6: Filter = Array::new();
/// Which marks of IPv4 count.
#[btf_map(name = "FLOW_ERAS_V4")]
static FLOW_ERAS_V4: Era = Array::new();
/// Which marks of IPv6 count.
#[btf_map(name = "FLOW_ERAS_V6")]
static FLOW_ERAS_V6: Era = Array::new();

/// The maps of a family.
pub(crate) trait FilterMaps: Family {
    #[doc(hidden)]
    fn filter() -> &'static Filter;
    #[doc(hidden)]
    fn eras() -> &'static Era;
}

impl FilterMaps for V4 {
    #[inline(always)]
    fn filter() -> &'static Filter {
        &FLOW_FILTER_V4
    }
    #[inline(always)]
    fn eras() -> &'static Era {
        &FLOW_ERAS_V4
    }
}

impl FilterMaps for V6 {
    #[inline(always)]
    fn filter() -> &'static Filter {
        &FLOW_FILTER_V6
    }
    #[inline(always)]
    fn eras() -> &'static Era {
        &FLOW_ERAS_V6
    }
}

/// Leaves the mark of a tuple, before its entry is written.
#[inline(always)]
pub(crate) fn note<F: FilterMaps>(key: &FlowKey<F::Addr>) {
    let place = place(key);
    if let (Some(eras), Some(line)) = (F::eras().get(0), F::filter().get(Line::of(place))) {
        filter::note(line, place, eras.read());
    }
}

/// Whether a flow table may hold the tuple: if not, none does.
#[inline(always)]
pub(crate) fn may_hold<F: FilterMaps>(key: &FlowKey<F::Addr>) -> bool {
    let place = place(key);
    match (F::eras().get(0), F::filter().get(Line::of(place))) {
        (Some(eras), Some(line)) => filter::may_hold(line, place, eras.read()),
        _ => true,
    }
}
