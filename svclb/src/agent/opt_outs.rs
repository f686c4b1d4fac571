//! From pods that have opted out to the control groups that the programs know.

use std::{collections::BTreeSet, path::Path};

use super::told::Told;
use crate::{
    cgroup::PodGroups,
    datapath::{Error, opt_outs::OptOutMap, pins::Pins, tables::Tables},
    model::OptOuts,
};

/// Keeps the programs' map equal to what pods ask for.
pub(super) struct PodOptOuts {
    map: OptOutMap,
    /// None where the programs do not ask: pods are translated at sockets with `--socket-lb=all` alone.
    groups: Option<PodGroups>,
    /// Who is to be found.
    uids: BTreeSet<String>,
    found: BTreeSet<u64>,
    /// Whether another look is worth while.
    is_due: bool,
    is_missing: bool,
    ignored: Told,
}

impl PodOptOuts {
    /// Takes over what is pinned. Pods are looked for below `cgroup`.
    pub(super) fn open(pins: &Pins, cgroup: Option<&Path>) -> Result<Self, Error> {
        Ok(Self {
            map: OptOutMap::open(pins)?,
            groups: cgroup.map(PodGroups::below),
            uids: BTreeSet::new(),
            found: BTreeSet::new(),
            is_due: true,
            is_missing: false,
            ignored: Told::default(),
        })
    }

    /// Makes the programs leave alone whom the model says.
    pub(super) fn sync(&mut self, wanted: &OptOuts, tables: &Tables) -> Result<(), Error> {
        let Some(groups) = &mut self.groups else { return self.map.apply(&BTreeSet::new(), tables) };
        self.ignored.now(wanted.ignored(), |line| tracing::warn!("{line}"));
        let uids: BTreeSet<_> = wanted.uids().map(str::to_owned).collect();
        if self.uids != uids || self.is_due {
            self.uids = uids;
            self.is_due = false;
            let found = groups.find(&self.uids);
            self.is_missing = found.len() < self.uids.len();
            self.found = found.into_values().collect();
        }
        self.map.apply(&self.found, tables)
    }

    /// Resolves when a pod that was not found may be there; never while none is missing.
    pub(super) async fn changed(&mut self) {
        match &mut self.groups {
            Some(groups) if self.is_missing => groups.changed().await,
            _ => std::future::pending().await,
        }
        self.is_due = true;
    }
}
