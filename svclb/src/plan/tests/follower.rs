//! Tables that follow a desired state, for tests of what leads to one.

use proptest::prelude::*;

use super::{
    kernel::Kernel,
    publish::Way,
    room::{self, assert_whole, assert_within, found},
    world,
};
use crate::{
    model::Snapshot,
    plan::{Applied, Limits, plan_all},
};

/// How many times a reader looks at a plan's way at most.
const LOOKS: usize = 32;

/// Tables that follow a desired state. Whoever reads them finds each service port as it was or as it is to be, and no table
/// ever holds more than there is room for.
pub(crate) struct Follower {
    limits: Limits,
    applied: Applied,
    kernel: Kernel,
    desired: Snapshot,
}

/// Tables with all their room, or with too little.
pub(crate) fn any_limits() -> impl Strategy<Value = Limits> {
    prop_oneof![1 => Just(world::limits()), 1 => room::any_limits()]
}

/// Tables with all their room.
pub(crate) fn roomy() -> Limits {
    world::limits()
}

impl Follower {
    /// Empty tables.
    pub(crate) fn new(limits: Limits) -> Self {
        let (applied, kernel) = (Applied::default(), Kernel::default());
        Self { limits, applied, kernel, desired: Snapshot::default() }
    }

    /// Follows to `new`.
    pub(crate) fn advance(&mut self, new: Snapshot) {
        let (start, before) = (self.kernel.clone(), found(&self.kernel));
        let plan = plan_all(&new.services, &self.applied, &self.limits);
        let way = Way { old: &self.desired, new: &new };
        let step = plan.ops.len().div_ceil(LOOKS).max(1);
        for (number, op) in plan.ops.iter().enumerate() {
            self.applied.apply(op);
            self.kernel.write(op);
            if number % step == 0 {
                assert_within(&self.kernel, &self.limits);
                // What does not fit is judged at the end.
                if self.limits == roomy() {
                    way.check(&start, &self.kernel);
                }
            }
        }
        assert_within(&self.kernel, &self.limits);
        assert_whole(&before, &found(&self.kernel), &new, &plan.refused);
        assert!(self.limits != roomy() || plan.refused.is_empty(), "{:?}", plan.refused);
        self.desired = new;
    }
}
