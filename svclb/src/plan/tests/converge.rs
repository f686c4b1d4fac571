//! After a plan the tables hold what is wanted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use svclb_common::service::List;

use super::{
    kernel::Kernel,
    world::{advance, any_history, limits, owners, serving, wanted},
};
use crate::{
    model::{Backend, BackendState, Family, FrontendKind, Protocol, ServicePortKey, Snapshot},
    plan::{
        Applied, BackendKey, FrontendKey, Plan, Readback, layout::layout, map_kind, plan_all,
        policy::map_policy,
    },
};

/// Compares the kernel's maps with `desired`, by what a program finds in them.
pub(super) fn assert_holds(kernel: &Kernel, desired: &Snapshot) {
    for family in [Family::V4, Family::V6] {
        let tables = kernel.tables(family);
        let owners = owners(desired, family);
        assert_eq!(tables.frontends.keys().collect::<Vec<_>>(), owners.keys().collect::<Vec<_>>());
        for (key, owner) in owners {
            assert_eq!(kernel.resolve(family, &key).unwrap().name, owner);
        }
        let names: BTreeSet<_> = tables.names.values().collect();
        let services = desired.services.iter().filter(|(key, _)| key.family == family);
        assert_eq!(names, services.clone().map(|(key, _)| key).collect());
        assert_eq!(names.len(), tables.names.len());
        let mut ranges = 0;
        for (&id, name) in &tables.names {
            for list in List::EACH {
                assert_eq!(kernel.selected(family, id, list), wanted(desired, name, list));
                assert_eq!(kernel.shares(family, id, list), shares(desired, name, list), "{name} {list:?}");
            }
            let policy = &desired.services[name].policy;
            assert_eq!(kernel.cell(family, id).policy, map_policy(policy));
            let wanted: BTreeSet<_> =
                policy.sources.iter().flat_map(|sources| &sources.ranges).map(ipnet::IpNet::trunc).collect();
            ranges += usize::from(!wanted.is_empty());
            assert_eq!(tables.source_ranges.get(&id).cloned().unwrap_or_default(), wanted);
        }
        assert_eq!(tables.source_ranges.len(), ranges);
        assert!(tables.services.keys().all(|id| tables.names.contains_key(id)));
        let frontends = services.clone().flat_map(|(_, port)| &port.frontends);
        let addresses = |is_internal: bool| -> BTreeSet<_> {
            let of = frontends
                .clone()
                .filter(|frontend| (frontend.kind == FrontendKind::ClusterIp) == is_internal);
            of.filter_map(|frontend| frontend.address).collect()
        };
        assert_eq!(tables.cluster_ips, addresses(true));
        assert_eq!(tables.external_ips, addresses(false));

        let backends: BTreeMap<_, _> = services
            .clone()
            .flat_map(|(key, port)| port.backends.iter().map(|b| (BackendKey::new(b, key.protocol, 0), b)))
            .collect();
        // One cell for all services that share a TCP backend, one for each that has a UDP backend.
        let is_tcp = |key: &&BackendKey| key.protocol == Protocol::Tcp;
        let udp = services.clone().filter(|(key, _)| key.protocol == Protocol::Udp);
        let udp: usize = udp.map(|(_, port)| port.backends.len()).sum();
        assert_eq!(tables.backends.len(), backends.keys().filter(is_tcp).count() + udp);
        for entry in tables.backends.values() {
            let backend = backends[&entry.key];
            assert_eq!(entry.flags.local, backend.local);
            assert_eq!(entry.flags.terminating, backend.state == BackendState::Terminating);
            let name = kernel.raw.nodes.get(&entry.flags.node).map(String::as_str);
            assert_eq!(name, backend.node.as_deref());
        }
        for (key, port) in services {
            for frontend in &port.frontends {
                let entry = tables.frontends[&FrontendKey::new(frontend, key.protocol)];
                assert_eq!(entry.kind, map_kind(frontend.kind));
            }
        }
    }
    let backends = desired.services.values().flat_map(|port| &port.backends);
    let nodes: BTreeSet<_> = backends.filter_map(|backend| backend.node.as_deref()).collect();
    assert_eq!(kernel.raw.nodes.values().map(String::as_str).collect::<BTreeSet<_>>(), nodes);
    assert_eq!(kernel.raw.nodes.len(), nodes.len());
}

/// The slots of each backend of a list, and its weight.
fn shares(desired: &Snapshot, name: &ServicePortKey, list: List) -> BTreeMap<BackendKey, (usize, u8)> {
    let port = &desired.services[name];
    let keys = wanted(desired, name, list);
    let key = |backend: &Backend| BackendKey::new(backend, name.protocol, 0);
    let backends: Vec<_> = port.backends.iter().filter(|backend| keys.contains(&key(backend))).collect();
    let order = if list == List::Idle {
        None
    } else {
        layout(port.policy.algorithm, &backends, limits().maglev_table)
    };
    let order = order.unwrap_or_else(|| (0..backends.len() as u32).collect());
    let mut shares = BTreeMap::new();
    for at in order {
        let backend = backends[at as usize];
        shares.entry(key(backend)).or_insert((0, backend.weight)).0 += 1;
    }
    shares
}

/// Checks that flows live on to backends that serve still, and to no others. A TCP backend serves for all its
/// services, a UDP backend for its own. After an agent `died`, nobody knows whose a UDP cell was that no slot
/// names: if several services had the backend or get it, any of them may have taken the cell over.
fn assert_flows_live(start: &Kernel, kernel: &Kernel, desired: &Snapshot, died: bool) {
    for family in [Family::V4, Family::V6] {
        let names = &start.tables(family).names;
        let cells: Vec<_> = names.iter().map(|(&id, name)| (name, start.cells(family, id))).collect();
        for (name, own) in &cells {
            for (&backend, &(id, generation)) in own {
                let serves = |name| serving(desired, name).contains(&backend);
                let is_udp = name.protocol == Protocol::Udp;
                let had =
                    cells.iter().filter(|(_, cells)| cells.contains_key(&backend)).map(|(name, _)| *name);
                let candidates: BTreeSet<_> =
                    had.chain(desired.services.keys().filter(|key| serves(key))).collect();
                if died && is_udp && candidates.len() > 1 {
                    continue;
                }
                let lives = if is_udp { serves(name) } else { desired.services.keys().any(serves) };
                assert_eq!(kernel.generation(family, id) == generation, lives, "{name} {backend:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn tables_hold_what_is_wanted(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            let start = kernel.clone();
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
            assert_flows_live(&start, &kernel, desired, false);
        }
    }

    #[test]
    fn a_second_plan_is_empty(history in any_history()) {
        let mut applied = Applied::default();
        for desired in &history {
            advance(desired, &mut applied);
            prop_assert_eq!(plan_all(&desired.services, &applied, &limits()), Plan::default());
        }
    }

    #[test]
    fn a_restart_writes_nothing(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            kernel.write_all(&advance(desired, &mut applied));
            let found = Readback::new(kernel.raw.clone(), &limits());
            prop_assert_eq!(found.repairs, vec![]);
            prop_assert_eq!(plan_all(&desired.services, &found.applied, &limits()), Plan::default());
            applied = found.applied;
        }
    }

    #[test]
    fn an_agent_that_died_between_two_writes_finishes(history in any_history(), at: prop::sample::Index) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            let ops = plan_all(&desired.services, &applied, &limits()).ops;
            let start = kernel.clone();
            kernel.write_all(ops.iter().take(at.index(ops.len() + 1)));
            let found = Readback::new(kernel.raw.clone(), &limits());
            kernel.write_all(found.repairs.iter().map(|repair| &repair.op));
            applied = found.applied;
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
            assert_flows_live(&start, &kernel, desired, true);
        }
    }

    #[test]
    fn a_plan_written_in_part_is_finished_by_the_next(history in any_history(), at: prop::sample::Index) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        for desired in &history {
            let ops = plan_all(&desired.services, &applied, &limits()).ops;
            for op in ops.iter().take(at.index(ops.len() + 1)) {
                applied.apply(op);
                kernel.write(op);
            }
            kernel.write_all(&advance(desired, &mut applied));
            assert_holds(&kernel, desired);
        }
    }
}
