//! What all objects together come to, on one node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::{
    Reference,
    address::{Family, Range},
    claim::{Claims, Frontend, Kind, Owner, PortKey, asked, cluster_ip},
    endpoint::{endpoints, lists, ready_here},
    object::{Service, ServiceType},
};

/// What follows from all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Where clients are served, and by whom.
    pub frontends: BTreeMap<Frontend, Owner>,
    /// How, for each port of each Service.
    pub ports: BTreeMap<PortKey, ServedPort>,
    /// Health checks by port: the addresses that are ready on the node, in each family that is served.
    pub health: BTreeMap<u16, BTreeMap<Family, usize>>,
}

/// How clients of one port of a Service are served in one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedPort {
    /// Who gets new connections under policy `Cluster`. Empty as well where nobody's policy asks for it.
    pub cluster: BTreeSet<SocketAddr>,
    /// Who gets them under policy `Local`. Empty as well where nobody's policy asks for it.
    pub local: BTreeSet<SocketAddr>,
    /// Everybody who serves, whether new connections come or not.
    pub serving: BTreeMap<SocketAddr, Serving>,
    /// Whether any endpoint could be used, wherever it is.
    pub has_any: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`, where that counts.
    pub external_local: bool,
    /// Seconds of affinity; 0 is none.
    pub affinity: u32,
    /// Who may use load balancer addresses; `None` is everybody.
    pub sources: Option<Sources>,
}

/// Somebody who serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// On which node.
    pub node: Option<String>,
    /// Whether that is the agent's.
    pub is_here: bool,
    /// Whether it is ready; else it is on its way out, or in.
    pub is_ready: bool,
}

/// Who may use load balancer addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The ranges.
    pub ranges: BTreeSet<Range>,
    /// Whether the node itself is in one of them.
    pub admits_node: bool,
}

impl Expected {
    pub(super) fn of(reference: &Reference) -> Self {
        let mut expected = Self::default();
        let mut claims = Claims::default();
        for service in reference.services.values().filter(|service| is_proxied(service)) {
            let families = Family::ALL.into_iter().filter(|family| cluster_ip(service, *family).is_some());
            for family in families {
                for port in &service.ports {
                    let key = PortKey {
                        service: service.name.clone(),
                        port: port.name.clone(),
                        protocol: port.protocol,
                        family,
                    };
                    let asked = asked(service, port, family);
                    for (kind, frontend) in &asked {
                        claims.add(service, &key, *kind, *frontend);
                    }
                    let all = endpoints(reference, service, port, family);
                    expected.ports.insert(key, served(reference, service, &asked, &all));
                }
                if let Some(port) = health_port(service) {
                    let count = ready_here(reference, service, family);
                    expected.health.entry(port).or_default().insert(family, count);
                }
            }
        }
        expected.frontends = claims.settle();
        expected
    }

    /// The addresses that belong to Services as ClusterIPs.
    pub fn cluster_ips(&self) -> BTreeSet<IpAddr> {
        self.addresses(|kind| kind == Kind::ClusterIP)
    }

    /// The other addresses of Services.
    pub fn external_ips(&self) -> BTreeSet<IpAddr> {
        self.addresses(|kind| matches!(kind, Kind::LoadBalancer | Kind::ExternalIP))
    }

    fn addresses(&self, is_it: impl Fn(Kind) -> bool) -> BTreeSet<IpAddr> {
        let of_kind = self.frontends.iter().filter(|(_, owner)| is_it(owner.kind));
        of_kind.filter_map(|(frontend, _)| frontend.address).collect()
    }
}

/// Whether a Service is a proxy's business: it has an address, is no alias and is not left to another proxy.
pub fn is_proxied(service: &Service) -> bool {
    !service.cluster_ips.is_empty() && service.kind != ServiceType::ExternalName && !service.other_proxy
}

/// `externalTrafficPolicy` counts where a Service is reached from outside.
fn is_external_local(service: &Service) -> bool {
    service.external_local
        && match service.kind {
            ServiceType::NodePort | ServiceType::LoadBalancer => true,
            ServiceType::ClusterIP => !service.external_ips.is_empty(),
            ServiceType::ExternalName => false,
        }
}

fn health_port(service: &Service) -> Option<u16> {
    let asks =
        service.kind == ServiceType::LoadBalancer && is_external_local(service) && !service.ports.is_empty();
    (asks && service.health_port != 0).then_some(service.health_port)
}

fn served(
    reference: &Reference,
    service: &Service,
    asked: &[(Kind, Frontend)],
    all: &super::endpoint::Endpoints,
) -> ServedPort {
    let is_external = asked.iter().any(|(kind, _)| *kind != Kind::ClusterIP);
    let external_local = is_external_local(service);
    let lists = lists(all, reference);
    // Pods and the node reach external frontends under policy Local by all endpoints.
    let uses_cluster = !service.internal_local || is_external;
    let uses_local = service.internal_local || external_local && is_external;
    let serving = all.iter().filter(|(_, known)| known.serves()).map(|(address, known)| {
        let node = known.node.clone();
        (*address, Serving { node, is_here: known.is_here(), is_ready: known.is_ready() })
    });
    ServedPort {
        cluster: lists.cluster.into_iter().filter(|_| uses_cluster).collect(),
        local: lists.local.into_iter().filter(|_| uses_local).collect(),
        serving: serving.collect(),
        has_any: lists.has_any,
        internal_local: service.internal_local,
        external_local,
        affinity: service.affinity.unwrap_or(0),
        sources: sources(reference, service, asked),
    }
}

/// Ranges bind load balancer addresses. Without one of the family, or with one that is all of it, everybody may use them.
/// Who admits the node admits the addresses themselves, which the node may send from.
fn sources(reference: &Reference, service: &Service, asked: &[(Kind, Frontend)]) -> Option<Sources> {
    let balanced = || asked.iter().filter(|(kind, _)| *kind == Kind::LoadBalancer);
    let family = balanced().next()?.1.family;
    let mut ranges: BTreeSet<Range> = service
        .source_ranges
        .iter()
        .filter_map(|text| Range::parse(text))
        .filter(|range| range.family() == family)
        .collect();
    if ranges.is_empty() || ranges.iter().any(|range| range.length == 0) {
        return None;
    }
    let own = reference.node.iter().flat_map(|node| &node.addresses).copied();
    // The first of the family is the address that the node sends from.
    let own = own.into_iter().find(|address| Family::of(*address) == family);
    let admits_node = own.is_some_and(|own| ranges.iter().any(|range| range.holds(own)));
    if admits_node {
        ranges.extend(balanced().filter_map(|(_, frontend)| frontend.address).map(Range::only));
    }
    Some(Sources { ranges, admits_node })
}
