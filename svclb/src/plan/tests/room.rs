//! Tables that are too small, and numbers that come again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    kernel::Kernel,
    world::{any_history, backend, cluster_ip, key, owners, snapshot, wanted},
};
use crate::{
    model::{Family, ServicePort, ServicePortKey, Snapshot},
    plan::{Applied, BackendKey, FrontendKey, Limits, MapOp, Plan, Refusal, Refused, TableOp, plan},
};

/// What a program finds of a service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    frontends: BTreeSet<FrontendKey>,
    backends: BTreeSet<BackendKey>,
}

fn found(kernel: &Kernel) -> BTreeMap<ServicePortKey, Found> {
    let mut all = BTreeMap::new();
    for family in [Family::V4, Family::V6] {
        for (&id, name) in &kernel.tables(family).names {
            let frontends = kernel.tables(family).frontends.iter();
            let frontends = frontends.filter(|(_, entry)| entry.service == id).map(|(&key, _)| key).collect();
            let backends = kernel.selected(family, id);
            assert_eq!(all.insert(name.clone(), Found { frontends, backends }), None);
        }
    }
    all
}

fn desired(snapshot: &Snapshot, key: &ServicePortKey) -> Found {
    let frontends = owners(snapshot, key.family).into_iter().filter(|(_, owner)| *owner == key);
    Found { frontends: frontends.map(|(key, _)| key).collect(), backends: wanted(snapshot, key) }
}

/// Applies a plan within `limits`.
fn advance(snapshot: &Snapshot, applied: &mut Applied, limits: &Limits) -> Plan {
    let plan = plan(snapshot, applied, limits);
    for op in &plan.ops {
        applied.apply(op);
    }
    plan
}

fn assert_within(kernel: &Kernel, limits: &Limits) {
    assert!(kernel.raw.nodes.keys().all(|&id| id < limits.nodes));
    for family in [Family::V4, Family::V6] {
        let tables = kernel.tables(family);
        assert!(tables.slots.len() <= limits.slots as usize);
        assert!(tables.names.keys().chain(tables.services.keys()).all(|&id| id < limits.services));
        assert!(tables.backends.keys().all(|&id| id < limits.backends));
        let addresses = tables.frontends.keys().filter(|key| key.address.is_some());
        assert!(addresses.count() <= limits.frontends as usize);
    }
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (0..6u32, 1..5u32, 0..28u32, 1..16u32, 1..4u32).prop_map(
        |(frontends, services, slots, backends, nodes)| Limits {
            frontends,
            services,
            slots,
            backends,
            nodes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_service_port_is_whole_or_refused(history in any_history(), limits in any_limits()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for snapshot in &history {
            let before = found(&kernel);
            let plan = advance(snapshot, &mut applied, &limits);
            for op in &plan.ops {
                kernel.write(op);
                assert_within(&kernel, &limits);
            }
            let after = found(&kernel);
            prop_assert!(after.keys().all(|key| snapshot.services.contains_key(key)));
            for key in snapshot.services.keys() {
                let want = desired(snapshot, key);
                let refused = plan.refused.iter().any(|refused| refused.key == *key);
                let expected = match before.get(key) {
                    _ if !refused => Some(want),
                    None => None,
                    Some(old) => Some(Found {
                        frontends: &old.frontends & &want.frontends,
                        backends: &old.backends & &want.backends,
                    }),
                };
                prop_assert_eq!(after.get(key), expected.as_ref());
            }
        }
    }

    #[test]
    fn plans_come_to_rest(history in any_history(), limits in any_limits()) {
        let mut applied = Applied::default();
        for snapshot in &history {
            let rests = (0..16).any(|_| advance(snapshot, &mut applied, &limits).ops.is_empty());
            prop_assert!(rests);
        }
    }
}

fn port(number: u16, members: impl IntoIterator<Item = u16>) -> ServicePort {
    let backends = members.into_iter().map(|number| backend(Family::V4, number)).collect();
    ServicePort { frontends: [cluster_ip(Family::V4, number)].into(), backends, ..ServicePort::default() }
}

#[test]
fn each_table_says_that_it_is_full() {
    let snapshot = snapshot([(key(0), port(1, 0..2)), (key(4), port(2, 2..4))]);
    let limits = Limits::default();
    let table = [
        (Limits { services: 2, ..limits }, Refusal::Services),
        (Limits { backends: 4, ..limits }, Refusal::Backends),
        (Limits { slots: 7, ..limits }, Refusal::Slots),
        (Limits { frontends: 1, ..limits }, Refusal::Frontends),
    ];
    for (limits, reason) in table {
        let plan = plan(&snapshot, &Applied::default(), &limits);
        assert_eq!(plan.refused, [Refused { key: key(4), reason }]);
    }
}

#[test]
fn what_is_applied_keeps_its_place() {
    let limits = Limits { backends: 3, ..Limits::default() };
    let mut applied = Applied::default();
    assert_eq!(advance(&snapshot([(key(4), port(2, 0..2))]), &mut applied, &limits).refused, []);
    let both = snapshot([(key(0), port(1, 2..4)), (key(4), port(2, 0..2))]);
    let plan = advance(&both, &mut applied, &limits);
    assert_eq!(plan, Plan { ops: vec![], refused: vec![Refused { key: key(0), reason: Refusal::Backends }] });
}

#[test]
fn a_full_table_of_nodes_refuses_nothing() {
    let limits = Limits { nodes: 1, ..Limits::default() };
    let mut applied = Applied::default();
    let snapshot = snapshot([(key(0), port(1, 0..2))]);
    assert_eq!(advance(&snapshot, &mut applied, &limits).refused, []);
    assert_eq!(advance(&snapshot, &mut applied, &limits), Plan::default());
}

#[test]
fn a_cell_comes_again_as_late_as_possible() {
    let limits = Limits { backends: 6, ..Limits::default() };
    let mut applied = Applied::default();
    let ids = (0..8).flat_map(|pod| {
        let plan = advance(&snapshot([(key(0), port(1, [pod]))]), &mut applied, &limits);
        plan.ops.into_iter().filter_map(|op| match op {
            MapOp::Table { op: TableOp::WriteBackend { id, .. }, .. } => Some(id),
            _ => None,
        })
    });
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 1, 2, 3]);
}

#[test]
fn what_a_plan_frees_only_the_next_one_uses() {
    let limits = Limits { backends: 2, ..Limits::default() };
    let mut applied = Applied::default();
    advance(&snapshot([(key(0), port(1, [0]))]), &mut applied, &limits);
    let next = snapshot([(key(0), port(1, [1]))]);
    assert_eq!(advance(&next, &mut applied, &limits).refused.len(), 1);
    assert_eq!(applied.tables(Family::V4).backends().count(), 0);
    assert_eq!(advance(&next, &mut applied, &limits).refused, []);
    assert_eq!(advance(&next, &mut applied, &limits), Plan::default());
}

#[test]
fn cells_and_slots_come_again_without_end() {
    let limits = Limits { frontends: 4, services: 4, slots: 16, backends: 16, nodes: 4 };
    let mut applied = Applied::default();
    for round in 0..100 {
        let (number, members) = (round % 3, if round % 2 == 0 { 0..3 } else { 0..7 });
        let plan = advance(&snapshot([(key(2 * number), port(1, members))]), &mut applied, &limits);
        assert_eq!(plan.refused, [], "round {round}");
    }
}
