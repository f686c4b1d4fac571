//! What a look at the pins finds wrong.

use svclb_common::layout::{capacity, map};

use crate::{
    condition::{Account, Problem, Severity},
    datapath::{family::map_of, flows::Fill, probe},
    model::Family,
    plan::Applied,
};

/// Of a hundred places so many are nearly all. A table that makes room by itself is never quite full: each CPU keeps some
/// places ready.
const NEARLY: u64 = 90;

/// What the agent's state says. `told` is what it says itself, if it runs.
pub(super) fn agent(running: bool, synced: bool, told: Option<&Option<Account>>) -> Vec<Problem> {
    if !running {
        let what = "the agent does not run: what is programmed stays, and no change of Services arrives";
        let advice = "start it (kubectl -n kube-system get pods -l app.kubernetes.io/name=svclb); its log says why it ended";
        return vec![Problem::error(what, "agent", advice)];
    }
    let mut problems = Vec::new();
    let account = told.and_then(Option::as_ref);
    if account.is_none() {
        let what = "the agent does not answer: what it knows is not in this status";
        problems.push(Problem::warning(what, "agent", "wait if it has just started; else restart it"));
    }
    let has_reason = account
        .is_some_and(|account| account.problems.iter().any(|problem| problem.severity == Severity::Error));
    if !synced && !has_reason {
        let what = "not in sync: the agent has not told its tables everything yet";
        problems.push(Problem::error(
            what,
            "agent",
            "wait if it has just started; else its log says what it waits for",
        ));
    }
    problems
}

/// Tables of flows that have hardly any place left.
pub(super) fn full(fills: &[Fill]) -> Vec<Problem> {
    let is_crowded = |fill: &&Fill| fill.entries * 100 >= fill.capacity * NEARLY;
    let problem = |Fill { map, entries, capacity }: &Fill| {
        let count = format!("{entries} of {capacity} entries");
        if map.starts_with(map::HALF_OPEN) {
            let what =
                format!("the table of half-open flows is full: {count}; new connections push out each other");
            return Problem::warning(
                what,
                map,
                "look for a flood (svclb flows); svclb.io/max-new-flows-per-second caps a Service",
            );
        }
        let what =
            format!("the table of established flows is full: {count}; live flows make room for others");
        Problem::error(what, map, "raise maxFlows (docs/tables.md), or shorten flowTimeouts")
    };
    fills.iter().filter(is_crowded).map(problem).collect()
}

/// Tables of Services that have hardly any place left.
pub(super) fn crowded(applied: &Applied) -> Vec<Problem> {
    let tables = Family::ALL.into_iter().flat_map(|family| {
        let counts = applied.counts(family);
        [
            (map_of(family, map::SERVICES), counts.services, capacity::SERVICES),
            (map_of(family, map::FRONTENDS), counts.frontends, capacity::FRONTENDS),
            (map_of(family, map::BACKENDS), counts.backends, capacity::BACKENDS),
        ]
    });
    let is_crowded =
        |(_, count, capacity): &(_, usize, usize)| *count as u64 * 100 >= *capacity as u64 * NEARLY;
    let problem = |(map, count, capacity): (String, usize, usize)| {
        let what = format!("a table is nearly full: {count} of {capacity}; what does not fit is refused");
        Problem::warning(what, map, "delete Services that nobody needs; docs/tables.md has the sizes")
    };
    tables.filter(is_crowded).map(problem).collect()
}

/// What the kernel lacks at the cost of speed.
pub(super) fn kernel() -> Vec<Problem> {
    let mut problems = Vec::new();
    if !probe::has_tcx() {
        let what =
            "this kernel has no TCX (Linux 6.6): clsact filters cost more, and are replaced with a gap";
        problems.push(Problem::warning(what, "kernel", "nothing is broken; a newer kernel is faster"));
    }
    if !probe::has_loop() {
        let what = "this kernel has no bpf_loop (Linux 5.17): searches are cut short";
        problems.push(Problem::warning(
            what,
            "kernel",
            "nothing is broken; a newer kernel finds ports in fuller ranges",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_away_or_behind_or_says_why() {
        let says = |problems| Some(Account { problems, ..Account::default() });
        let whats = |running, synced, told: Option<Option<Account>>| {
            let found = agent(running, synced, told.as_ref());
            found.into_iter().map(|problem| (problem.severity, problem.what)).collect::<Vec<_>>()
        };
        assert_eq!(whats(true, true, Some(says(vec![]))), []);
        assert!(whats(false, false, None)[0].1.contains("does not run"));
        assert!(whats(true, false, Some(says(vec![])))[0].1.contains("not in sync"));
        let why = Problem::error("the API server does not answer", "https://a", "mend it");
        assert_eq!(whats(true, false, Some(says(vec![why]))), [], "the reason is told");
        let unheard = whats(true, true, Some(None));
        assert!(unheard[0].0 == Severity::Warning && unheard[0].1.contains("does not answer"), "{unheard:?}");
    }

    #[test]
    fn a_full_table_is_an_error_where_it_costs_live_flows() {
        let fill = |map: &str, entries| Fill { map: map.into(), entries, capacity: 100 };
        let found = full(&[fill("FLOWS_V4", 89), fill("FLOWS_V6", 90), fill("HALF_OPEN_V4", 100)]);
        let found: Vec<_> = found.iter().map(|problem| (problem.severity, &*problem.place)).collect();
        assert_eq!(found, [(Severity::Error, "FLOWS_V6"), (Severity::Warning, "HALF_OPEN_V4")]);
    }
}
