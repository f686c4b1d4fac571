//! Address ranges: of those who may use a load balancer, and of Services.

use crate::{
    cell::{Quiet, Word32},
    family::Address,
    service::ServiceId,
};

/// Key of the source ranges, behind the prefix length: a longest-prefix match within one
/// service. The prefix counts the 32 bits of `service` and the range's own length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeKey<A> {
    /// The service cell.
    pub service: ServiceId,
    /// The range, or a client's address.
    pub addr: A,
}

/// How many address ranges of Services the programs know, per family.
pub const SERVICE_RANGES: usize = 8;

/// An address range. An address is in it if its bits under `mask` are those of `addr`.
/// `addr` all zeros under any mask is a range that no packet is sent to.
#[repr(C)]
#[derive(Debug)]
pub struct Range<A> {
    /// First address.
    pub addr: Quiet<A>,
    /// Ones where the prefix is.
    pub mask: Quiet<A>,
}

impl<A: Address> Range<A> {
    /// Whether `addr` is in the range. One that begins at zero is being written, or is none.
    #[inline(always)]
    pub fn holds(&self, addr: A) -> bool {
        let start = self.addr.load();
        addr.is_in(start, self.mask.load()) && start != A::ZERO
    }
}

/// The single value of the ranges: where addresses of Services are.
#[repr(C)]
#[derive(Debug)]
pub struct ServiceRanges<A> {
    /// The common prefix of all `ClusterIP`s: what is outside of it needs no lookup.
    pub cover: Range<A>,
    /// `ServiceCIDR`s: an address in one of them that no Service has leads nowhere.
    pub cidrs: [Range<A>; SERVICE_RANGES],
    /// How many of `cidrs` count.
    pub len: Word32,
    /// Not used; zero.
    pub reserved: Word32,
}
