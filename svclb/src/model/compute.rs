//! What one Service asks for, computed from what counts of it and of its slices.

use super::{
    Family, Frontend, FrontendKind, HealthCheck, NodeState, Notice, ObjectKey, Policy, ServicePort,
    ServicePortKey, Settings, SourceRanges, TrafficPolicy,
    endpoint::{self, Place, Uses},
    facts::ServiceFacts,
    no_local::Drops,
    port::ProxiedPort,
    slice::SliceFacts,
};

/// What a Service is seen from.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The agent's settings.
    pub(super) settings: &'a Settings,
    /// The agent's node.
    pub(super) node: &'a NodeState,
}

/// What one Service asks for.
#[derive(Default)]
pub(super) struct Computed {
    /// Its ports, sorted by key.
    pub(super) ports: Vec<ComputedPort>,
    /// What cannot be had, each once, without conflicts between Services.
    pub(super) notices: Vec<Notice>,
    /// Its health check.
    pub(super) health_check: Option<HealthCheck>,
    /// Whether the zone of the node matters to it.
    pub(super) has_hints: bool,
    /// Whether the addresses of the node matter to it.
    pub(super) has_ranges: bool,
}

/// What one Service port asks for.
pub(super) struct ComputedPort {
    /// Which.
    pub(super) key: ServicePortKey,
    /// Every frontend it asks for.
    pub(super) wanted: Box<[Frontend]>,
    /// Its backends and policy; it has no frontends until it is known which it may keep.
    pub(super) port: ServicePort,
    /// Whether it drops for lack of local endpoints.
    pub(super) drops: Drops,
}

impl Computed {
    /// What the Service `key` asks for.
    pub(super) fn new(key: &ObjectKey, facts: &ServiceFacts, slices: &[&SliceFacts], view: View<'_>) -> Self {
        let mut ports: Vec<_> = facts
            .families
            .iter()
            .flat_map(|of| facts.ports.iter().map(move |port| (of, port)))
            .map(|(of, port)| {
                let key = ServicePortKey {
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    port_name: port.name.clone(),
                    protocol: port.protocol,
                    family: of.family,
                };
                computed_port(key, port.frontends(&of.vips), port, facts, slices, view)
            })
            .collect();
        ports.sort_by(|a, b| a.key.cmp(&b.key));
        let of_slices = slices.iter().flat_map(|slice| &slice.notices);
        let mut notices: Vec<_> = facts.notices.iter().chain(of_slices).cloned().collect();
        notices.sort();
        notices.dedup();
        let has_ports = !ports.is_empty();
        Self {
            ports,
            notices,
            health_check: health_check(facts, slices, view).filter(|_| has_ports),
            has_hints: slices.iter().any(|slice| slice.has_zone_hints()),
            has_ranges: !facts.ranges.is_empty(),
        }
    }
}

fn place(view: View<'_>) -> Place<'_> {
    Place { node: &view.settings.node_name, zone: view.node.zone.as_deref() }
}

fn computed_port(
    key: ServicePortKey,
    wanted: Box<[Frontend]>,
    port: &ProxiedPort,
    facts: &ServiceFacts,
    slices: &[&SliceFacts],
    view: View<'_>,
) -> ComputedPort {
    let is_external = wanted.iter().any(|frontend| frontend.kind != FrontendKind::ClusterIp);
    let internal_local = facts.internal == TrafficPolicy::Local;
    let external_local = facts.external == TrafficPolicy::Local && is_external;
    // Pods and the node itself reach external frontends over the cluster list, whatever the policy.
    let uses = Uses {
        cluster: !internal_local || is_external,
        local: internal_local || external_local || is_external && view.settings.lists_local,
    };
    let endpoints = endpoint::merged(slices, key.family, (&port.name, port.protocol), place(view));
    let known = endpoint::categorize(&endpoints, place(view), uses, &facts.weights);
    let lacks_local = known.has_endpoints && !known.backends.iter().any(|backend| backend.lists.local);
    let policy = Policy {
        internal: facts.internal,
        external: facts.external,
        affinity: facts.affinity,
        sources: sources(key.family, &wanted, facts, view.node),
        has_endpoints: known.has_endpoints,
        algorithm: facts.algorithm.unwrap_or(view.settings.algorithm),
        rate: facts.rate.unwrap_or(view.settings.rate),
    };
    ComputedPort {
        key,
        wanted,
        port: ServicePort { backends: known.backends, policy, ..ServicePort::default() },
        drops: Drops { internal: internal_local && lacks_local, external: external_local && lacks_local },
    }
}

fn sources(
    family: Family,
    wanted: &[Frontend],
    facts: &ServiceFacts,
    node: &NodeState,
) -> Option<SourceRanges> {
    if facts.ranges.is_empty() {
        return None;
    }
    let balanced = wanted.iter().filter(|frontend| frontend.kind == FrontendKind::LoadBalancer);
    let vips: Vec<_> = balanced.filter_map(|frontend| frontend.address).collect();
    // The address under which the node's own packets leave; any other one of its Node object says nothing of them.
    let own: Vec<_> = node.primary_addresses().collect();
    SourceRanges::new(&facts.ranges, family, &vips, &own)
}

fn health_check(facts: &ServiceFacts, slices: &[&SliceFacts], view: View<'_>) -> Option<HealthCheck> {
    let port = facts.health_check?;
    let count = |family| {
        let has_family = facts.families.iter().any(|of| of.family == family);
        has_family.then(|| endpoint::ready_here(slices, family, place(view)))
    };
    Some(HealthCheck { port, v4: count(Family::V4), v6: count(Family::V6) })
}
