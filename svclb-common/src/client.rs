//! Which clients are pods of the cluster, as the agent tells programs.

/// Key of the rules for devices that have none of their own: no device has this number.
pub const ANY_DEVICE: u32 = 0;

/// Value of the rules by device: the clients behind it that are local pods (kube-proxy's
/// `detectLocalMode`) have an address in this range.
///
/// By address (`ClusterCIDR`, `NodeCIDR`) there is one rule for all devices. By device
/// (`BridgeInterface`, `InterfaceNamePrefix`) there is one of all addresses for each device that
/// counts, and for all others one of the unspecified address, which no client has. Without any
/// rule nobody is told apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRange<A> {
    /// Prefix, network byte order.
    pub addr: A,
    /// Ones where the prefix counts; none hold every address.
    pub mask: A,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn values_have_no_padding() {
        assert_eq!(size_of::<PodRange<Addr4>>(), 8);
        assert_eq!(size_of::<PodRange<Addr6>>(), 32);
    }
}
