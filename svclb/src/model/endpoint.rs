//! From EndpointSlices to the backends of a Service port.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Backend, BackendState, Family, Lists, Protocol,
    slice::{Endpoint, SliceFacts},
    weights,
};

/// Where the node is that endpoints are seen from.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its name.
    pub(super) node: &'a str,
    /// Its zone, if it is in one.
    pub(super) zone: Option<&'a str>,
}

impl Place<'_> {
    fn is_local(&self, endpoint: &Endpoint) -> bool {
        endpoint.node.as_deref() == Some(self.node)
    }
}

/// The endpoints of one Service port by address and port: sorted, each once.
pub(super) type Merged<'a> = Vec<((IpAddr, u16), &'a Endpoint)>;

/// Everything that `slices` have for the port of that family, name and protocol. An endpoint may stand in two slices while
/// it moves, and a new pod may have the address of one that still terminates.
pub(super) fn merged<'a>(
    slices: &[&'a SliceFacts],
    family: Family,
    (name, protocol): (&str, Protocol),
    place: Place<'_>,
) -> Merged<'a> {
    let mut merged = Merged::new();
    for slice in slices.iter().filter(|slice| slice.family == family) {
        for port in slice.ports.iter().filter(|port| *port.name == *name && port.protocol == protocol) {
            merged.extend(slice.endpoints.iter().map(|it| ((it.address, port.number), it)));
        }
    }
    // Slices are mostly sorted by themselves, which this makes use of.
    merged.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| rank(one, place).cmp(&rank(other, place))));
    merged.dedup_by_key(|(key, _)| *key);
    merged
}

/// Which of two entries with one address and port counts: the lesser. That the one which does not terminate comes
/// first is the rule; the rest makes the choice independent of the order of slices.
fn rank<'a>(endpoint: &'a Endpoint, place: Place<'_>) -> impl Ord + use<'a> {
    let Endpoint { terminating, ready, serving, .. } = *endpoint;
    (terminating, !ready, !serving, !place.is_local(endpoint), endpoint)
}

/// How many endpoints of `slices` are ready and on the node, counted by address, over all ports.
pub(super) fn ready_here(slices: &[&SliceFacts], family: Family, place: Place<'_>) -> usize {
    let of_family = || slices.iter().filter(|slice| slice.family == family);
    let ports: BTreeSet<_> =
        of_family().flat_map(|slice| slice.ports.iter().map(|port| (&*port.name, port.protocol))).collect();
    let ready = |port| {
        let merged = merged(slices, family, port, place).into_iter().map(|(_, endpoint)| endpoint);
        merged.filter(|endpoint| endpoint.ready && place.is_local(endpoint)).map(|endpoint| endpoint.address)
    };
    ports.into_iter().flat_map(ready).collect::<BTreeSet<_>>().len()
}

/// The lists that a Service port needs, for it has frontends that use them.
#[derive(Clone, Copy)]
pub(super) struct Uses {
    /// Some frontend may send to all nodes.
    pub(super) cluster: bool,
    /// Some frontend may send to this node only.
    pub(super) local: bool,
}

/// What is known of the endpoints of a Service port.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Categorized {
    /// Everything that serves, each with the lists that it is in.
    pub(super) backends: Vec<Backend>,
    /// Whether some endpoint is ready, or serves while it terminates.
    pub(super) has_endpoints: bool,
}

/// Sorts the endpoints of a Service port into its lists (kube-proxy's `CategorizeEndpoints`). Each list falls back by
/// itself to what serves while it terminates. Hints choose among the ready endpoints of the cluster list alone. An
/// endpoint that weighs nothing counts as one in all that, and then is in no list.
pub(super) fn categorize(
    endpoints: &[((IpAddr, u16), &Endpoint)],
    place: Place<'_>,
    uses: Uses,
    weights: &BTreeMap<IpAddr, u8>,
) -> Categorized {
    let is_fallback = |endpoint: &Endpoint| !endpoint.ready && endpoint.serving && endpoint.terminating;
    let ready: Vec<_> =
        endpoints.iter().map(|(_, endpoint)| *endpoint).filter(|endpoint| endpoint.ready).collect();
    let has_ready = !ready.is_empty();
    let has_ready_here = ready.iter().any(|endpoint| place.is_local(endpoint));
    let topology = Topology::of(&ready, place);
    let weight = |address: &IpAddr| weights.get(address).copied().unwrap_or(weights::DEFAULT);
    let lists = |endpoint: &Endpoint| {
        let of = |has_ready: bool| if has_ready { endpoint.ready } else { is_fallback(endpoint) };
        Lists {
            cluster: uses.cluster && of(has_ready) && (!endpoint.ready || topology.allows(endpoint, place)),
            local: uses.local && place.is_local(endpoint) && of(has_ready_here),
        }
    };
    let serving = endpoints.iter().filter(|(_, endpoint)| endpoint.ready || endpoint.serving);
    let backends = serving.map(|&((address, port), endpoint)| Backend {
        address,
        port,
        node: endpoint.node.clone(),
        local: place.is_local(endpoint),
        state: if endpoint.ready { BackendState::Active } else { BackendState::Terminating },
        lists: if weight(&address) == 0 { Lists::default() } else { lists(endpoint) },
        weight: weight(&address),
    });
    // Mostly all of them serve, and what is kept is to take no more room than it needs.
    let mut kept = Vec::with_capacity(endpoints.len());
    kept.extend(backends);
    Categorized {
        backends: kept,
        has_endpoints: endpoints
            .iter()
            .any(|((address, _), endpoint)| (endpoint.ready || is_fallback(endpoint)) && weight(address) > 0),
    }
}

/// Which ready endpoints a node prefers. A hint counts only where every ready endpoint has one of its sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topology {
    /// None.
    Any,
    /// Those with a hint for its zone.
    SameZone,
    /// Those with a hint for itself.
    SameNode,
}

impl Topology {
    fn of(ready: &[&Endpoint], place: Place<'_>) -> Self {
        let holds = |mode: Self| {
            ready.iter().all(|endpoint| !mode.hints(endpoint).is_empty())
                && ready.iter().any(|endpoint| mode.allows(endpoint, place))
        };
        [Self::SameNode, Self::SameZone].into_iter().find(|mode| holds(*mode)).unwrap_or(Self::Any)
    }

    fn hints(self, endpoint: &Endpoint) -> &[Arc<str>] {
        match self {
            Self::Any => &[],
            Self::SameZone => endpoint.zones(),
            Self::SameNode => endpoint.nodes(),
        }
    }

    fn allows(self, endpoint: &Endpoint, place: Place<'_>) -> bool {
        let here = match self {
            Self::Any => return true,
            Self::SameZone => place.zone,
            Self::SameNode => Some(place.node),
        };
        here.is_some_and(|here| self.hints(endpoint).iter().any(|hint| **hint == *here))
    }
}

#[cfg(test)]
mod tests;
