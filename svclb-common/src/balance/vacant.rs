//! Addresses and ports of Services that no Service has.

use crate::{balance::tables::Tables, family::Family, service::SERVICE_RANGES, verdict::DropReason};

/// What is wrong with something new to `addr`, to which no frontend fits: the port, or the
/// address, or nothing because it is no Service's.
#[inline(never)]
pub(crate) fn vacant<F: Family, T: Tables<F>>(tables: &T, addr: &F::Addr) -> Option<DropReason> {
    let ranges = tables.ranges()?;
    let addr = *addr;
    if ranges.cover.holds(addr) && tables.is_cluster_ip(&addr) {
        return Some(DropReason::UnknownPort);
    }
    let len = ranges.len.load();
    let mut at = 0;
    while at < SERVICE_RANGES {
        if at as u32 >= len {
            return None;
        }
        if ranges.cidrs[at].holds(addr) {
            return Some(DropReason::UnallocatedVip);
        }
        at += 1;
    }
    None
}
