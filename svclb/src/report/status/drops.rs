//! Drops that grow right now: what each reason means, and what to do.

use std::{collections::BTreeMap, time::Duration};

use svclb_common::verdict::DropReason;

use crate::condition::{
    Problem,
    Severity::{self, Error, Warning},
};

/// How bad each reason is, what it means, and what to do.
const MEANINGS: &[(DropReason, Severity, &str, &str)] = &[
    (
        DropReason::BrokenTables,
        Error,
        "the tables contradict themselves",
        "restart the agent: it compares them all",
    ),
    (DropReason::FlowTableFull, Error, "the flow tables take no more", "raise maxFlows, or look for a flood"),
    (
        DropReason::HopLimit,
        Warning,
        "packets run out of hops",
        "look for a routing loop towards the backends",
    ),
    (
        DropReason::Unwritable,
        Error,
        "packets cannot be changed: the kernel has no memory",
        "look at the node's memory",
    ),
    (DropReason::EventLost, Warning, "events are lost, packets are not", "nothing; the counters are right"),
    (
        DropReason::NoBackend,
        Warning,
        "clients ask a Service without ready endpoints, and are refused",
        "svclb services shows which has no backends; kubectl get endpointslices",
    ),
    (
        DropReason::PortsExhausted,
        Error,
        "no port is left for a source translation towards a backend",
        "widen snatPorts, or spread the clients over more backends or nodes",
    ),
    (
        DropReason::NoRoute,
        Warning,
        "no route leads to a backend or client, or it leads by a device without programs",
        "ip route get BACKEND; svclb check lists the devices",
    ),
    (
        DropReason::TooBig,
        Warning,
        "packets are larger than the next link carries; senders are told",
        "compare the MTU of pods, tunnels and uplinks; do not filter ICMP",
    ),
    (
        DropReason::NoLocalBackend,
        Warning,
        "a Service's traffic policy is Local, and no endpoint is on this node",
        "send clients to nodes with endpoints (healthCheckNodePort), or use policy Cluster",
    ),
    (
        DropReason::SourceRange,
        Warning,
        "clients are outside of a Service's loadBalancerSourceRanges",
        "svclb services -o json shows the ranges",
    ),
    (
        DropReason::UnknownPort,
        Warning,
        "clients ask a ClusterIP for a port that it does not have, and are refused",
        "compare the clients' port with spec.ports",
    ),
    (
        DropReason::UnallocatedVip,
        Warning,
        "clients ask an address of a ServiceCIDR that no Service has",
        "look for clients that remember a deleted Service",
    ),
    (
        DropReason::UnknownFragment,
        Warning,
        "fragments come before their first one, or without it",
        "avoid fragments: lower the clients' MTU",
    ),
    (
        DropReason::BadTunnel,
        Warning,
        "other nodes send packets for backends that are not here",
        "compare externalMode on all nodes; endpoints may just have moved",
    ),
    (
        DropReason::RateLimited,
        Warning,
        "a Service takes no more new flows",
        "raise svclb.io/max-new-flows-per-second, or look for a flood",
    ),
];

/// How many more there are a second, of those that grow.
pub(super) fn growth(
    before: &BTreeMap<&'static str, u64>,
    after: &BTreeMap<&'static str, u64>,
    elapsed: Duration,
) -> BTreeMap<&'static str, u64> {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let more = |(reason, count): (&&'static str, &u64)| {
        let more = count.saturating_sub(before.get(reason).copied().unwrap_or_default());
        (more > 0).then(|| (*reason, (more * 1000 / millis).max(1)))
    };
    after.iter().filter_map(more).collect()
}

/// What it is if a reason's count grows so fast.
pub(super) fn problem(reason: &'static str, rate: u64) -> Option<Problem> {
    let known = DropReason::ALL.iter().find(|known| known.as_str() == reason)?;
    let (severity, meaning, advice) = explain(*known)?;
    let what = format!("drops grow ({reason}, {rate} a second): {meaning}");
    Some(Problem::new(severity, what, "datapath", advice))
}

/// How bad it is, what it means, and what to do; none if it is no sign of trouble.
fn explain(reason: DropReason) -> Option<(Severity, &'static str, &'static str)> {
    // What is left of connections that are over.
    if reason == DropReason::StrayReset {
        return None;
    }
    let known = MEANINGS.iter().find(|(known, ..)| *known == reason);
    Some(known.map_or((Warning, "clients are dropped or refused", "docs/operate.md says more"), |known| {
        let (_, severity, meaning, advice) = *known;
        (severity, meaning, advice)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_is_told_with_its_meaning() {
        let before = BTreeMap::from([("no_backend", 5), ("too_big", 7)]);
        let after = BTreeMap::from([("no_backend", 25), ("too_big", 7), ("stray_reset", 3)]);
        let growth = growth(&before, &after, Duration::from_secs(2));
        assert_eq!(growth, BTreeMap::from([("no_backend", 10), ("stray_reset", 1)]));
        let told: Vec<_> = growth.iter().filter_map(|(reason, rate)| problem(reason, *rate)).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].what.contains("no_backend, 10 a second") && told[0].what.contains("ready endpoints"));
    }

    #[test]
    fn each_reason_but_one_says_what_to_do() {
        let silent: Vec<_> = DropReason::ALL.iter().filter(|reason| explain(**reason).is_none()).collect();
        assert_eq!(silent, [&DropReason::StrayReset]);
        for reason in DropReason::ALL.iter().filter(|reason| **reason != DropReason::StrayReset) {
            assert!(MEANINGS.iter().any(|(known, ..)| known == reason), "{reason:?}");
        }
    }
}
