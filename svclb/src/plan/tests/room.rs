//! Tables that are too small, and numbers that come again.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use proptest::prelude::*;
use svclb_common::service::{LISTS, List, Policy};

use super::{
    kernel::Kernel,
    world::{any_history, backend, cluster_ip, key, limits, owners, snapshot, wanted},
};
use crate::{
    model::{self, Family, ServicePort, ServicePortKey, Snapshot, SourceRanges},
    plan::{
        Applied, BackendKey, FrontendKey, Limits, MapOp, Plan, Refusal, Refused, TableOp, plan_all,
        policy::map_policy,
    },
};

/// What a program finds of a service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    frontends: BTreeSet<FrontendKey>,
    lists: [BTreeSet<BackendKey>; LISTS],
    policy: Policy,
    ranges: BTreeSet<IpNet>,
}

/// What a program finds of each service port.
pub(super) fn found(kernel: &Kernel) -> BTreeMap<ServicePortKey, Found> {
    let mut all = BTreeMap::new();
    for family in [Family::V4, Family::V6] {
        let tables = kernel.tables(family);
        for (&id, name) in &tables.names {
            let frontends = tables.frontends.iter().filter(|(_, entry)| entry.service == id);
            let found = Found {
                frontends: frontends.map(|(&key, _)| key).collect(),
                lists: List::EACH.map(|list| kernel.selected(family, id, list)),
                policy: kernel.cell(family, id).policy,
                ranges: tables.source_ranges.get(&id).cloned().unwrap_or_default(),
            };
            assert_eq!(all.insert(name.clone(), found), None);
        }
    }
    all
}

fn desired(snapshot: &Snapshot, key: &ServicePortKey) -> Found {
    let frontends = owners(snapshot, key.family).into_iter().filter(|(_, owner)| *owner == key);
    let policy = &snapshot.services[key].policy;
    let ranges = policy.sources.iter().flat_map(|sources| &sources.ranges);
    Found {
        frontends: frontends.map(|(key, _)| key).collect(),
        lists: List::EACH.map(|list| wanted(snapshot, key, list)),
        policy: map_policy(policy),
        ranges: ranges.map(IpNet::trunc).collect(),
    }
}

/// Applies a plan within `limits`.
fn advance(snapshot: &Snapshot, applied: &mut Applied, limits: &Limits) -> Plan {
    let plan = plan_all(&snapshot.services, applied, limits);
    for op in &plan.ops {
        applied.apply(op);
    }
    plan
}

/// No table holds more than there is room for.
pub(super) fn assert_within(kernel: &Kernel, limits: &Limits) {
    assert!(kernel.raw.nodes.keys().all(|&id| id < limits.nodes));
    for family in [Family::V4, Family::V6] {
        let tables = kernel.tables(family);
        assert!(tables.slots.len() <= limits.slots as usize);
        assert!(tables.names.keys().chain(tables.services.keys()).all(|&id| id < limits.services));
        assert!(tables.backends.keys().all(|&id| id < limits.backends));
        let ranges: usize = tables.source_ranges.values().map(BTreeSet::len).sum();
        assert!(ranges <= limits.source_ranges as usize);
        let addresses = tables.frontends.keys().filter(|key| key.address.is_some());
        assert!(addresses.count() <= limits.frontends as usize);
    }
}

/// What a plan has made of `before`: each service port of `snapshot` is as it is wanted, or refused. Of one that is refused
/// there is what was there and is still wanted.
pub(super) fn assert_whole(
    before: &BTreeMap<ServicePortKey, Found>,
    after: &BTreeMap<ServicePortKey, Found>,
    snapshot: &Snapshot,
    refused: &[Refused],
) {
    assert!(after.keys().all(|key| snapshot.services.contains_key(key)));
    for key in snapshot.services.keys() {
        let want = desired(snapshot, key);
        let reason = refused.iter().find(|refused| refused.key == *key).map(|refused| refused.reason);
        let Some(got) = after.get(key) else {
            assert!(reason.is_some() && !before.contains_key(key), "{key} is not there");
            continue;
        };
        // Its clients are never more than those whom it wants.
        assert!(got.ranges.is_subset(&want.ranges));
        assert!(reason.is_some() || got.ranges == want.ranges);
        let expected = match before.get(key) {
            Some(old) if reason.is_some_and(|reason| reason != Refusal::SourceRanges) => Found {
                frontends: old.frontends.iter().filter(|it| want.frontends.contains(it)).copied().collect(),
                lists: List::EACH.map(|list| &old.lists[list as usize] & &want.lists[list as usize]),
                ..want
            },
            _ => want,
        };
        assert_eq!(got, &Found { ranges: got.ranges.clone(), ..expected }, "{key}");
    }
}

pub(super) fn any_limits() -> impl Strategy<Value = Limits> {
    (0..6u32, 1..5u32, 0..48u32, 1..24u32, 0..12u32, 1..4u32).prop_map(
        |(frontends, services, slots, backends, source_ranges, nodes)| Limits {
            frontends,
            services,
            slots,
            backends,
            source_ranges,
            nodes,
            maglev_table: 7,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

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
            assert_whole(&before, &found(&kernel), snapshot, &plan.refused);
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
    let roomy = limits();
    let table = [
        (Limits { services: 2, ..roomy }, Refusal::Services),
        (Limits { backends: 4, ..roomy }, Refusal::Backends),
        (Limits { slots: 7, ..roomy }, Refusal::Slots),
        (Limits { frontends: 1, ..roomy }, Refusal::Frontends),
    ];
    for (limits, reason) in table {
        let plan = plan_all(&snapshot.services, &Applied::default(), &limits);
        assert_eq!(plan.refused, [Refused { key: key(4), reason }]);
    }
}

#[test]
fn what_is_applied_keeps_its_place() {
    let limits = Limits { backends: 3, ..limits() };
    let mut applied = Applied::default();
    assert_eq!(advance(&snapshot([(key(4), port(2, 0..2))]), &mut applied, &limits).refused, []);
    let both = snapshot([(key(0), port(1, 2..4)), (key(4), port(2, 0..2))]);
    let plan = advance(&both, &mut applied, &limits);
    assert_eq!(plan, Plan { ops: vec![], refused: vec![Refused { key: key(0), reason: Refusal::Backends }] });
}

#[test]
fn a_full_table_of_nodes_refuses_nothing() {
    let limits = Limits { nodes: 1, ..limits() };
    let mut applied = Applied::default();
    let snapshot = snapshot([(key(0), port(1, 0..2))]);
    assert_eq!(advance(&snapshot, &mut applied, &limits).refused, []);
    assert_eq!(advance(&snapshot, &mut applied, &limits), Plan::default());
}

#[test]
fn a_cell_comes_again_as_late_as_possible() {
    let limits = Limits { backends: 6, ..limits() };
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
    let limits = Limits { backends: 2, ..limits() };
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
    let limits =
        Limits { frontends: 4, services: 4, slots: 16, backends: 16, source_ranges: 0, nodes: 4, ..limits() };
    let mut applied = Applied::default();
    for round in 0..100 {
        let (number, members) = (round % 3, if round % 2 == 0 { 0..3 } else { 0..7 });
        let plan = advance(&snapshot([(key(2 * number), port(1, members))]), &mut applied, &limits);
        assert_eq!(plan.refused, [], "round {round}");
    }
}

#[test]
fn source_ranges_that_do_not_fit_shut_their_clients_out() {
    let ranges = |number: u8| (0..number).map(|at| format!("10.{at}.0.0/16").parse().unwrap()).collect();
    let restricted = |number| {
        let sources = Some(SourceRanges { ranges: ranges(number), admits_host: false });
        snapshot([(
            key(0),
            ServicePort { policy: model::Policy { sources, ..Default::default() }, ..port(1, 0..2) },
        )])
    };
    let limits = Limits { source_ranges: 3, ..limits() };
    let mut applied = Applied::default();
    let refused = vec![Refused { key: key(0), reason: Refusal::SourceRanges }];
    assert_eq!(advance(&restricted(5), &mut applied, &limits).refused, refused);
    let tables = applied.tables(Family::V4);
    let cell = tables.service(1).unwrap().cell;
    assert_eq!(cell.policy, map_policy(&restricted(5).services[&key(0)].policy));
    assert_eq!((tables.source_ranges(1).unwrap(), tables.addresses()), (&ranges(3), 1));
    assert_eq!(cell.list(List::Cluster).slab.len, 2);
    assert_eq!(advance(&restricted(5), &mut applied, &limits), Plan { ops: vec![], refused });
    assert_eq!(advance(&restricted(3), &mut applied, &limits), Plan::default());
}
