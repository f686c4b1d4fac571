//! How many Service ports drop because their endpoints are elsewhere.

use super::Family;

/// Service ports that drop in silence for lack of endpoints on this node, while other nodes have some, in all. A
/// port counts once for each policy and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoLocal {
    /// Those with `internalTrafficPolicy: Local`.
    pub internal: PerFamily,
    /// Those with `externalTrafficPolicy: Local` that can be reached from outside.
    pub external: PerFamily,
}

/// A count for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerFamily {
    /// IPv4.
    pub v4: usize,
    /// IPv6.
    pub v6: usize,
}

/// By which policies one Service port drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drops {
    /// What comes to its ClusterIP.
    pub(super) internal: bool,
    /// What comes from outside.
    pub(super) external: bool,
}

impl NoLocal {
    /// Counts a Service port of `family`.
    pub(super) fn add(&mut self, family: Family, drops: Drops) {
        *self.internal.of(family) += usize::from(drops.internal);
        *self.external.of(family) += usize::from(drops.external);
    }

    /// Takes back what [`Self::add`] counted.
    pub(super) fn remove(&mut self, family: Family, drops: Drops) {
        *self.internal.of(family) -= usize::from(drops.internal);
        *self.external.of(family) -= usize::from(drops.external);
    }
}

impl PerFamily {
    fn of(&mut self, family: Family) -> &mut usize {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}
