//! The map of the ranges in which addresses of Services are.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{Ordering, fence},
};

use ipnet::IpNet;
use svclb_common::{
    family::{Addr4, Addr6, Address, V4, V6},
    layout::map,
    service::{Range, SERVICE_RANGES, ServiceRanges},
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{Tables, element, open_array},
};
use crate::{
    model::Family,
    sys::mapped::{Access, MappedArray},
};

/// The writer of the map.
pub struct RangeMaps {
    v4: MappedArray<ServiceRanges<Addr4>>,
    v6: MappedArray<ServiceRanges<Addr6>>,
}

impl RangeMaps {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            v4: open_array(pins, &V4::map(map::RANGES), Access::Write)?,
            v6: open_array(pins, &V6::map(map::RANGES), Access::Write)?,
        })
    }

    /// Writes what differs from `cidrs`, the `ServiceCIDR`s, and from `cover`, the range of each family that
    /// holds all its `ClusterIP`s. Returns the `ServiceCIDR`s that there is no room for.
    pub fn apply(
        &mut self,
        cidrs: &BTreeSet<IpNet>,
        cover: impl Fn(Family) -> Option<IpNet>,
        tables: &Tables,
    ) -> Result<Vec<IpNet>, Error> {
        let v4 = element(&self.v4, V4::map(map::RANGES), 0)?;
        let v6 = element(&self.v6, V6::map(map::RANGES), 0)?;
        let (v4, mut left_out) = write::<V4>(v4, cidrs, cover(Family::V4));
        let (v6, more) = write::<V6>(v6, cidrs, cover(Family::V6));
        left_out.extend(more);
        (0..v4 + v6).try_for_each(|_| tables.count_write())?;
        Ok(left_out)
    }
}

/// Makes `ranges` hold the given ones, as far as there is room. Returns how many writes that took and what is
/// left out.
fn write<F: MapFamily>(
    ranges: &ServiceRanges<F::Addr>,
    cidrs: &BTreeSet<IpNet>,
    cover: Option<IpNet>,
) -> (usize, Vec<IpNet>) {
    let parts = |range: IpNet| Some((F::address(range.addr())?, F::address(range.netmask())?));
    let mut writes = usize::from(set_cover(&ranges.cover, cover.and_then(parts)));

    let mut own = cidrs.iter().map(IpNet::trunc).filter(|range| F::address(range.addr()).is_some());
    let mut missing: BTreeSet<_> = own.by_ref().take(SERVICE_RANGES).collect();
    let left_out = own.collect();
    let mut len = (ranges.len.load() as usize).min(SERVICE_RANGES);
    // Ranges that stay keep their places, so that no reader misses one.
    let places = ranges.cidrs[..len].iter();
    let mut holes: Vec<_> = places
        .enumerate()
        .filter(|(_, range)| !stored(*range).is_some_and(|range| missing.remove(&range)))
        .map(|(at, _)| at)
        .collect();
    for (addr, mask) in missing.into_iter().filter_map(parts) {
        if holes.is_empty() {
            set_quietly(&ranges.cidrs[len], (addr, mask));
            len += 1;
            ranges.len.store(len as u32);
        } else {
            set_quietly(&ranges.cidrs[holes.remove(0)], (addr, mask));
        }
        writes += 1;
    }
    // The last ones move into holes that are left.
    while let Some(hole) = holes.pop() {
        len -= 1;
        if hole < len {
            let last = &ranges.cidrs[len];
            set_quietly(&ranges.cidrs[hole], (last.addr.load(), last.mask.load()));
        }
        ranges.len.store(len as u32);
        writes += 1;
    }
    (writes, left_out)
}

/// The range in a place, if somebody wrote one there.
fn stored<A: Address + Into<IpAddr>>(range: &Range<A>) -> Option<IpNet> {
    IpNet::with_netmask(range.addr.load().into(), range.mask.load().into()).ok()
}

/// Changes a range; a reader on the way finds a part of the old one or of the new one.
fn set_quietly<A: Address>(range: &Range<A>, (addr, mask): (A, A)) {
    range.mask.store(bytemuck::pod_read_unaligned(&[0xff; 16][..size_of::<A>()]));
    fence(Ordering::SeqCst);
    range.addr.store(addr);
    fence(Ordering::SeqCst);
    range.mask.store(mask);
    fence(Ordering::SeqCst);
}

/// Changes the cover; a reader on the way finds all of the old one or all of the new one, and more. Returns whether
/// it differs.
fn set_cover<A: Address>(cover: &Range<A>, wanted: Option<(A, A)>) -> bool {
    let (old_addr, old_mask) = (cover.addr.load(), cover.mask.load());
    let Some((addr, mask)) = wanted else {
        cover.addr.store(A::ZERO);
        return old_addr != A::ZERO;
    };
    if (addr, mask) == (old_addr, old_mask) {
        return false;
    }
    let [a, b, c, d] = [old_addr, addr, old_mask, mask].map(Address::widen);
    let common: [u8; 16] = std::array::from_fn(|at| !(a[at] ^ b[at]) & c[at] & d[at]);
    // Nobody looks at the mask of a range that begins at zero.
    let between =
        if old_addr == A::ZERO { mask } else { bytemuck::pod_read_unaligned(&common[..size_of::<A>()]) };
    cover.mask.store(between);
    fence(Ordering::SeqCst);
    cover.addr.store(addr);
    fence(Ordering::SeqCst);
    cover.mask.store(mask);
    true
}

#[cfg(test)]
mod tests {
    use svclb_common::cell::{Quiet, Word32};

    use super::*;

    fn empty<A: Address>() -> ServiceRanges<A> {
        let range = || Range { addr: Quiet::new(A::zeroed()), mask: Quiet::new(A::zeroed()) };
        ServiceRanges {
            cover: range(),
            cidrs: std::array::from_fn(|_| range()),
            len: Word32::new(0),
            reserved: Word32::new(0),
        }
    }

    fn set(cidrs: &[&str]) -> BTreeSet<IpNet> {
        cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect()
    }

    fn held<A: Address + Into<IpAddr>>(ranges: &ServiceRanges<A>) -> BTreeSet<IpNet> {
        ranges.cidrs[..ranges.len.load() as usize].iter().filter_map(stored).collect()
    }

    #[test]
    fn the_map_follows_what_is_wanted_and_nothing_is_written_twice() {
        let ranges = empty::<Addr4>();
        let steps: [(&[&str], Option<&str>, usize); 7] = [
            (&[], None, 0),
            (&["10.96.0.0/12", "fd00::/108"], Some("10.96.0.0/28"), 2),
            (&["10.96.0.0/12", "10.112.0.0/16", "10.113.0.0/16"], Some("10.96.0.0/11"), 3),
            (&["10.113.0.0/16", "10.112.0.0/16"], Some("10.96.0.0/11"), 1),
            (&["10.112.0.0/16", "10.120.0.0/16"], Some("10.112.0.0/20"), 2),
            (&["10.120.0.0/16"], Some("10.0.0.1/0"), 2),
            (&[], None, 2),
        ];
        for (cidrs, cover, writes) in steps {
            let (cidrs, cover) = (set(cidrs), cover.map(|cover| cover.parse().unwrap()));
            assert_eq!(write::<V4>(&ranges, &cidrs, cover), (writes, vec![]), "{cidrs:?}");
            assert_eq!(held(&ranges), cidrs.into_iter().filter(|cidr| cidr.addr().is_ipv4()).collect());
            if let Some(cover) = cover {
                assert_eq!(stored(&ranges.cover), Some(cover));
            } else {
                assert_eq!(ranges.cover.addr.load(), Addr4::ZERO);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let ranges = empty::<Addr6>();
        let all: Vec<_> = (0..10).map(|at| format!("fd00:{at}::/108")).collect();
        let all = set(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let (writes, left_out) = write::<V6>(&ranges, &all, None);
        assert_eq!((writes, left_out.len()), (SERVICE_RANGES, 2));
        assert_eq!(held(&ranges), all.iter().take(SERVICE_RANGES).copied().collect());
        assert_eq!(write::<V6>(&ranges, &all, None).0, 0);
        assert_eq!(write::<V6>(&ranges, &set(&["fd00:7::/108"]), None).0, 7);
        assert_eq!(held(&ranges), set(&["fd00:7::/108"]));
    }
}
