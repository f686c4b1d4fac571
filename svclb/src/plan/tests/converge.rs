//! After a plan the tables hold what is wanted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    kernel::Kernel,
    world::{advance, any_history, owners, wanted},
};
use crate::{
    model::{BackendState, Family, Snapshot},
    plan::{Applied, BackendKey, FrontendKey, Limits, Plan, Readback, map_kind, plan},
};

/// Compares the kernel's maps with `desired`, by what a program finds in them.
pub(super) fn assert_holds(kernel: &Kernel, desired: &Snapshot) {
    for family in [Family::V4, Family::V6] {
        let tables = kernel.tables(family);
        let owners = owners(desired, family);
        assert_eq!(tables.frontends.keys().collect::<Vec<_>>(), owners.keys().collect::<Vec<_>>());
        for (key, owner) in owners {
            let (name, backends) = kernel.resolve(family, &key).unwrap();
            assert_eq!((name, backends), (owner, wanted(desired, owner)));
        }
        let names: BTreeSet<_> = tables.names.values().collect();
        let services = desired.services.iter().filter(|(key, _)| key.family == family);
        assert_eq!(names, services.clone().map(|(key, _)| key).collect());
        assert_eq!(names.len(), tables.names.len());
        for (&id, name) in &tables.names {
            assert_eq!(kernel.selected(family, id), wanted(desired, name));
        }
        assert!(tables.services.keys().all(|id| tables.names.contains_key(id)));

        let backends: BTreeMap<_, _> = services
            .clone()
            .flat_map(|(key, port)| port.backends.iter().map(|b| (BackendKey::new(b, key.protocol), b)))
            .collect();
        assert_eq!(tables.backends.len(), backends.len());
        for entry in tables.backends.values() {
            let backend = backends[&entry.key];
            assert_eq!(entry.flags.local, backend.local);
            assert_eq!(entry.flags.terminating, backend.state == BackendState::Terminating);
            assert_eq!(kernel.raw.nodes.get(&entry.flags.node), backend.node.as_ref());
        }
        for (key, port) in services {
            for frontend in &port.frontends {
                let entry = tables.frontends[&FrontendKey::new(frontend, key.protocol)];
                assert_eq!(entry.kind, map_kind(frontend.kind));
            }
        }
    }
    let backends = desired.services.values().flat_map(|port| &port.backends);
    let nodes: BTreeSet<_> = backends.filter_map(|backend| backend.node.as_ref()).collect();
    assert_eq!(kernel.raw.nodes.values().collect::<BTreeSet<_>>(), nodes);
    assert_eq!(kernel.raw.nodes.len(), nodes.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn tables_hold_what_is_wanted(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
        }
    }

    #[test]
    fn a_second_plan_is_empty(history in any_history()) {
        let mut applied = Applied::default();
        for desired in &history {
            advance(desired, &mut applied);
            prop_assert_eq!(plan(desired, &applied, &Limits::default()), Plan::default());
        }
    }

    #[test]
    fn a_restart_writes_nothing(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            kernel.write_all(&advance(desired, &mut applied));
            let found = Readback::new(kernel.raw.clone(), &Limits::default());
            prop_assert_eq!(found.repairs, vec![]);
            prop_assert_eq!(plan(desired, &found.applied, &Limits::default()), Plan::default());
            applied = found.applied;
        }
    }

    #[test]
    fn an_agent_that_died_between_two_writes_finishes(history in any_history(), at: prop::sample::Index) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            let ops = plan(desired, &applied, &Limits::default()).ops;
            kernel.write_all(ops.iter().take(at.index(ops.len() + 1)));
            let found = Readback::new(kernel.raw.clone(), &Limits::default());
            kernel.write_all(found.repairs.iter().map(|repair| &repair.op));
            applied = found.applied;
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
        }
    }

    #[test]
    fn a_plan_written_in_part_is_finished_by_the_next(history in any_history(), at: prop::sample::Index) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            let ops = plan(desired, &applied, &Limits::default()).ops;
            for op in ops.iter().take(at.index(ops.len() + 1)) {
                applied.apply(op);
                kernel.write(op);
            }
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
        }
    }
}
