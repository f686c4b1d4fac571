//! Plans of what changed lead to where plans of everything lead.

use proptest::prelude::*;

use super::{
    converge::assert_holds,
    kernel::Kernel,
    room::any_limits,
    world::{any_history, backend, changes, cluster_ip, follow, key, limits, snapshot},
};
use crate::{
    model::{Backend, BackendState, Family, ServicePort, Snapshot},
    plan::{Applied, Plan, plan, plan_all},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn plans_of_changes_lead_to_what_is_wanted(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        let mut old = Snapshot::default();
        for new in history {
            kernel.write_all(&follow(&old, &new, &mut applied));
            assert_holds(&kernel, &new);
            prop_assert_eq!(plan_all(&new.services, &applied, &limits()), Plan::default());
            old = new;
        }
    }

    #[test]
    fn the_same_changes_again_finish_a_plan_written_in_part(history in any_history(), at: prop::sample::Index) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        let mut old = Snapshot::default();
        for new in history {
            let ops = plan(changes(&old, &new), &applied, &limits()).ops;
            for op in ops.iter().take(at.index(ops.len() + 1)) {
                applied.apply(op);
                kernel.write(op);
            }
            kernel.write_all(&follow(&old, &new, &mut applied));
            assert_holds(&kernel, &new);
            old = new;
        }
    }

    #[test]
    fn what_was_refused_is_tried_again(history in any_history(), limits in any_limits()) {
        let mut applied = Applied::default();
        let mut old = Snapshot::default();
        for new in history {
            let mut changed = changes(&old, &new);
            changed.extend(new.services.iter().filter(|(key, _)| applied.service_id(key).is_none()).map(|(k, p)| (k, Some(p))));
            let rests = (0..16).any(|_| {
                let done = plan(changed.clone(), &applied, &limits);
                done.ops.iter().for_each(|op| applied.apply(op));
                let refused = done.refused.iter().map(|refused| &refused.key);
                changed.extend(refused.filter_map(|key| new.services.get_key_value(key)).map(|(k, p)| (k, Some(p))));
                done.ops.is_empty()
            });
            prop_assert!(rests);
            prop_assert_eq!(plan_all(&new.services, &applied, &limits).ops, vec![]);
            old = new;
        }
    }
}

#[test]
fn services_that_describe_a_backend_differently_do_not_undo_each_other() {
    let port = |number, state| {
        let backends = [Backend { state, ..backend(Family::V4, 3) }].into();
        ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
    };
    let both = |second| snapshot([(key(0), port(1, BackendState::Active)), (key(4), port(2, second))]);
    let mut applied = Applied::default();
    follow(&Snapshot::default(), &both(BackendState::Active), &mut applied);
    let ops = follow(&both(BackendState::Active), &both(BackendState::Terminating), &mut applied);
    assert_eq!(ops.len(), 1, "the one that changed decides");
    let all = both(BackendState::Terminating);
    assert_eq!(plan_all(&all.services, &applied, &limits()), Plan::default());
}
