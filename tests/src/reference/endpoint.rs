//! Which endpoints traffic may go to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::{
    Reference,
    address::Family,
    object::{Endpoint, Port, Service, Slice},
};

/// What is known of an endpoint, with what conditions leave open filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    // In the order in which it is decided which of two entries for one address and port counts.
    is_terminating: bool,
    is_not_ready: bool,
    is_not_serving: bool,
    is_elsewhere: bool,
    /// `nodeName`.
    pub node: Option<String>,
    zones: Vec<String>,
    nodes: Vec<String>,
}

impl Known {
    fn of(endpoint: &Endpoint, reference: &Reference) -> Self {
        Self {
            is_terminating: endpoint.terminating.unwrap_or(false),
            is_not_ready: !endpoint.ready.unwrap_or(true),
            is_not_serving: !endpoint.serving.unwrap_or(true),
            is_elsewhere: endpoint.node.as_ref() != Some(&reference.node_name),
            node: endpoint.node.clone(),
            zones: endpoint.zones.clone(),
            nodes: endpoint.nodes.clone(),
        }
    }

    /// Whether it is ready, terminating or not.
    pub fn is_ready(&self) -> bool {
        !self.is_not_ready
    }

    /// Whether it may be used where nothing is ready.
    pub fn is_fallback(&self) -> bool {
        self.is_not_ready && !self.is_not_serving && self.is_terminating
    }

    /// Whether it is on the node.
    pub fn is_here(&self) -> bool {
        !self.is_elsewhere
    }

    /// Whether it keeps the flows that it has.
    pub fn serves(&self) -> bool {
        !self.is_not_ready || !self.is_not_serving
    }
}

/// Endpoints by address and port.
pub type Endpoints = BTreeMap<SocketAddr, Known>;

/// The endpoints of one port of a Service in one family, each once: of two entries, the one that does not terminate counts.
pub fn endpoints(reference: &Reference, service: &Service, port: &Port, family: Family) -> Endpoints {
    let mut all = Endpoints::new();
    for slice in reference.slices_of(&service.name) {
        for number in numbers(slice, port, family) {
            for endpoint in &slice.endpoints {
                let known = Known::of(endpoint, reference);
                let entry = all.entry((endpoint.address, number).into()).or_insert_with(|| known.clone());
                if known < *entry {
                    *entry = known;
                }
            }
        }
    }
    all
}

/// The numbers that a slice has for a port of a Service: matched by name and protocol.
fn numbers(slice: &Slice, port: &Port, family: Family) -> Vec<u16> {
    if slice.headless || slice.family != family {
        return Vec::new();
    }
    let is_it =
        |known: &&super::object::SlicePort| known.name == port.name && known.protocol == port.protocol;
    slice.ports.iter().filter(is_it).filter_map(|known| known.port).collect()
}

/// Which of the endpoints new connections go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Under policy `Cluster`.
    pub cluster: Vec<SocketAddr>,
    /// Under policy `Local`.
    pub local: Vec<SocketAddr>,
    /// Whether there is any endpoint that could be used, wherever it is.
    pub has_any: bool,
}

/// Sorts endpoints into lists. Each list falls back by itself; hints choose among ready endpoints, for `Cluster` alone.
pub fn lists(endpoints: &Endpoints, reference: &Reference) -> Lists {
    let ready: Vec<_> = endpoints.iter().filter(|(_, known)| known.is_ready()).collect();
    let fallback: Vec<_> = endpoints.iter().filter(|(_, known)| known.is_fallback()).collect();
    let of = |some: &[(&SocketAddr, &Known)], is_it: &dyn Fn(&Known) -> bool| -> Vec<SocketAddr> {
        some.iter().filter(|(_, known)| is_it(known)).map(|(address, _)| **address).collect()
    };
    let hinted = hinted(&ready, reference);
    let cluster = if ready.is_empty() { of(&fallback, &|_| true) } else { of(&ready, &hinted) };
    let mut local = of(&ready, &Known::is_here);
    if local.is_empty() {
        local = of(&fallback, &Known::is_here);
    }
    Lists { cluster, local, has_any: !ready.is_empty() || !fallback.is_empty() }
}

/// Whom hints choose: by node, else by zone, else everybody. One ready endpoint without a hint of a sort ends that sort.
fn hinted<'a>(ready: &[(&SocketAddr, &Known)], reference: &'a Reference) -> Box<dyn Fn(&Known) -> bool + 'a> {
    let here = reference.node_name.as_str();
    let for_node = move |known: &Known| known.nodes.iter().any(|node| node == here);
    let has_node = |known: &Known| !known.nodes.is_empty();
    if ready.iter().all(|(_, known)| has_node(known)) && ready.iter().any(|(_, known)| for_node(known)) {
        return Box::new(for_node);
    }
    let zone = reference.zone();
    let for_zone = move |known: &Known| zone.is_some_and(|zone| known.zones.iter().any(|it| it == zone));
    let has_zone = |known: &Known| !known.zones.is_empty();
    if ready.iter().all(|(_, known)| has_zone(known)) && ready.iter().any(|(_, known)| for_zone(known)) {
        return Box::new(for_zone);
    }
    Box::new(|_| true)
}

/// How many addresses on the node are ready in a family, over all ports: what a health check tells.
pub fn ready_here(reference: &Reference, service: &Service, family: Family) -> usize {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for slice in reference.slices_of(&service.name) {
        for port in &slice.ports {
            let port = Port { name: port.name.clone(), protocol: port.protocol, port: 0, node_port: 0 };
            let all = endpoints(reference, service, &port, family);
            addresses.extend(
                all.iter().filter(|(_, it)| it.is_ready() && it.is_here()).map(|(address, _)| address.ip()),
            );
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.len()
}
