//! The order of a plan's writes.

use super::{MapOp, TableOp};
use crate::model::Family;

/// A step of a plan, in the order in which they are written. This order is the promise that a program
/// which reads the tables between any two writes finds what was wanted before or what is wanted now.
///
/// What is new becomes complete before anything leads to it, and what goes is first led to no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Lists that only lose backends: first, since nobody waits for a connection to a dead one.
    Retreat,
    /// Backend cells that no slot names yet, and flags.
    Backends,
    /// Slots, and after those of a list its slab.
    Slots,
    /// Names of new services.
    Names,
    /// Source ranges that come: before a policy restricts clients to them.
    Ranges,
    /// Policies. A list that clients are to select from is filled by now, and one that lost its last backend
    /// is empty: until now its clients are dropped and not refused.
    Policies,
    /// Lists that only lose backends, of services whose clients selected from them until now.
    LateRetreat,
    /// Frontends that come, or go over to another service.
    Frontends,
    /// `ClusterIP`s and external addresses that have a frontend by now.
    ClusterIps,
    /// `ClusterIP`s and external addresses that are about to lose their last frontend.
    RemoveClusterIps,
    /// Frontends that go.
    RemoveFrontends,
    /// Source ranges that no policy restricts clients to any more, or that are not among them.
    RemoveRanges,
    /// Services that no frontend leads to any more.
    RemoveServices,
    /// Backend cells that no slot names any more.
    FreeBackends,
}

impl Step {
    const ALL: [Self; 14] = [
        Self::Retreat,
        Self::Backends,
        Self::Slots,
        Self::Names,
        Self::Ranges,
        Self::Policies,
        Self::LateRetreat,
        Self::Frontends,
        Self::ClusterIps,
        Self::RemoveClusterIps,
        Self::RemoveFrontends,
        Self::RemoveRanges,
        Self::RemoveServices,
        Self::FreeBackends,
    ];
}

/// The writes of one family, by step.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps([Vec<TableOp>; Step::ALL.len()]);

impl Steps {
    /// Adds a write at the end of `step`.
    pub(super) fn push(&mut self, step: Step, op: TableOp) {
        self.0[step as usize].push(op);
    }

    /// The writes of all families in order.
    pub(super) fn merge(mut families: [(Family, Self); 2]) -> impl Iterator<Item = MapOp> {
        Step::ALL.into_iter().flat_map(move |step| {
            families
                .each_mut()
                .map(|(family, steps)| (*family, std::mem::take(&mut steps.0[step as usize])))
                .into_iter()
                .flat_map(|(family, ops)| ops.into_iter().map(move |op| MapOp::Table { family, op }))
        })
    }
}
