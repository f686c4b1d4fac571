//! Pods whose sockets are to be left alone; the map of their control groups.

use aya_ebpf::{btf_maps::HashMap, helpers::generated::bpf_get_current_ancestor_cgroup_id, macros::btf_map};
use svclb_common::{layout::capacity, socket::ANY_OPTED_OUT};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

/// Control groups by `bpf_get_current_cgroup_id`, to 1.
#[btf_map]
static OPT_OUTS: HashMap<u64, u32, { capacity::OPT_OUTS }, NO_PREALLOC> = HashMap::new();

/// How far below the root a pod's group may be. Kubelets make it the second to the fourth, in a
/// node that is itself a container a few more.
const DEEPEST: u64 = 12;

/// Whether the calling process is in one of the groups, or in a group below one. A function of its
/// own, for the verifier's sake.
///
/// Containers come and go below their pod's group, so what is known is the pod's. The way to it is
/// asked for from the root on, step by step (Linux 5.7), and only where there is anybody to find.
#[inline(never)]
pub(crate) fn is_caller_in() -> bool {
    if !holds(ANY_OPTED_OUT) {
        return false;
    }
    let mut level = 1;
    while level <= DEEPEST {
        // SAFETY: a helper with a plain argument.
        let group = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
        // There is no group so deep.
        if group == 0 {
            return false;
        }
        if holds(group) {
            return true;
        }
        level += 1;
    }
    false
}

#[inline(always)]
fn holds(group: u64) -> bool {
    // SAFETY: the value is not looked at.
    unsafe { OPT_OUTS.get(group) }.is_some()
}
