//! How much there is of each kind, without what is the agent's own.

use super::Applied;
use crate::model::{Family, self_probe::is_own};

/// How much there is of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Service ports.
    pub services: usize,
    /// Addresses with ports that clients reach them at.
    pub frontends: usize,
    /// Endpoints.
    pub backends: usize,
}

impl Applied {
    /// How much there is of `family`.
    pub fn counts(&self, family: Family) -> Counts {
        let tables = self.tables(family);
        let of_family = || self.services().filter(|(key, _)| key.family == family);
        let mut counts = Counts {
            services: of_family().filter(|(key, _)| !is_own(key)).count(),
            frontends: tables.frontends().count(),
            backends: tables.backends().count(),
        };
        for (_, id) in of_family().filter(|(key, _)| is_own(key)) {
            counts.frontends -= tables.frontends_of(id).map_or(0, <[_]>::len);
            counts.backends -= tables.backends_of(id).len();
        }
        counts
    }
}
