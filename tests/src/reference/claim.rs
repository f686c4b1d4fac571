//! Who has an address that several ask for.
//!
//! kube-proxy does not say. svclb does: first what the API server has allocated, then what a load balancer's controller
//! has written, then what anybody may write; among equals the older Service, one without an age last, then the name.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::{
    address::Family,
    object::{Port, Protocol, Service},
};

/// Why a Service has an address, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// `spec.clusterIPs`.
    ClusterIP,
    /// `spec.ports[].nodePort`, on every address of the node.
    NodePort,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
    /// `spec.externalIPs`.
    ExternalIP,
}

/// One port of a Service in one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortKey {
    /// The Service.
    pub service: String,
    /// The port's name.
    pub port: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The family.
    pub family: Family,
}

/// What clients send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontend {
    /// Its family.
    pub family: Family,
    /// The address; `None` is every address of the node.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Whose a frontend is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Why.
    pub kind: Kind,
    /// Whose.
    pub port: PortKey,
}

/// The frontends that a port of a Service asks for.
pub fn asked(service: &Service, port: &Port, family: Family) -> Vec<(Kind, Frontend)> {
    let at = |address: IpAddr| Frontend {
        family,
        address: Some(address),
        port: port.port,
        protocol: port.protocol,
    };
    let mut all = Vec::new();
    let mut add = |kind, addresses: &[IpAddr]| {
        let of_family = addresses.iter().filter(|address| Family::of(**address) == family);
        all.extend(of_family.map(|address| (kind, at(*address))));
    };
    let cluster_ip: Vec<_> = cluster_ip(service, family).into_iter().collect();
    add(Kind::ClusterIP, &cluster_ip);
    add(Kind::ExternalIP, &service.external_ips);
    let vips: Vec<_> = service
        .ingress
        .iter()
        .filter(|ingress| ingress.mode != super::object::IpMode::Proxy)
        .map(|ingress| ingress.ip)
        .collect();
    add(Kind::LoadBalancer, &vips);
    if port.node_port != 0 {
        let on_nodes = Frontend { family, address: None, port: port.node_port, protocol: port.protocol };
        all.push((Kind::NodePort, on_nodes));
    }
    all
}

/// The ClusterIP of a family.
pub fn cluster_ip(service: &Service, family: Family) -> Option<IpAddr> {
    service.cluster_ips.iter().copied().find(|address| Family::of(*address) == family)
}

/// Who asks for what. The first of those who ask for one frontend has it.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<Frontend, Vec<(Rank, Owner)>>);

/// Kind, whether it has no age, its age, its name.
type Rank = (Kind, bool, Option<u32>, PortKey);

impl Claims {
    /// Somebody asks.
    pub fn add(&mut self, service: &Service, port: &PortKey, kind: Kind, frontend: Frontend) {
        let rank = (kind, service.created.is_none(), service.created, port.clone());
        self.0.entry(frontend).or_default().push((rank, Owner { kind, port: port.clone() }));
    }

    /// Who has what.
    pub fn settle(self) -> BTreeMap<Frontend, Owner> {
        let first = |all: Vec<(Rank, Owner)>| all.into_iter().min_by(|(a, _), (b, _)| a.cmp(b));
        self.0
            .into_iter()
            .filter_map(|(frontend, all)| Some((frontend, first(all).map(|(_, owner)| owner)?)))
            .collect()
    }
}
