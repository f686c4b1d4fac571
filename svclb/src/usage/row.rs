//! A row: a service port of one family, its frontends, its backends, and what has gone through them.

use std::{net::IpAddr, num::NonZeroU32};

use serde::Serialize;
use svclb_common::{
    service::{BackendId, List, Load, Outcomes, ServiceId, Traffic},
    sign::Sign,
};

use crate::{
    model::{Family, ServicePortKey, TrafficPolicy},
    plan::{Applied, Member, model_policy},
};

/// A service port, of one family. Its JSON is what `svclb services -o json` and `/v1/services` tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServicePort {
    /// What it is known by.
    #[serde(skip)]
    pub key: ServicePortKey,
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// Name of the port; empty for the only one of a Service.
    pub port_name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'static str,
    /// `IPv4` or `IPv6`.
    pub ip_family: &'static str,
    /// How backends are chosen.
    pub algorithm: &'static str,
    /// New flows that it takes in a second; 0 is any number.
    pub max_new_flows_per_second: u32,
    /// `Cluster` or `Local`.
    pub internal_traffic_policy: &'static str,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: &'static str,
    /// 0 is no affinity.
    pub session_affinity_seconds: u32,
    /// Who may use the load balancer addresses; none is everybody.
    pub source_ranges: Option<Vec<String>>,
    /// Where clients reach it.
    pub frontends: Vec<Frontend>,
    /// Whom it leads to, by address and port.
    pub backends: Vec<Backend>,
    /// What has gone through it.
    pub traffic: PortTraffic,
    /// How fast; only where there are two readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<Rate>,
}

/// Where clients reach a service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frontend {
    /// `ClusterIP`, `NodePort`, `ExternalIP` or `LoadBalancer`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The address; that of no host for a node port.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// Whom a service port leads to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backend {
    /// Its cell, which other service ports may have as well.
    #[serde(skip)]
    pub id: BackendId,
    /// The pod's address.
    pub address: IpAddr,
    /// The pod's port.
    pub port: u16,
    /// The pod's node.
    pub node: Option<String>,
    /// Whether that is this one.
    pub local: bool,
    /// `active` or `terminating`.
    pub state: &'static str,
    /// Where new connections select it from. A backend in no list keeps the flows that it has.
    pub lists: Vec<&'static str>,
    /// Its share in relation to the others; 1 unless the Service says so.
    pub weight: u8,
    /// What it has got from this node.
    pub traffic: BackendTraffic,
    /// New flows a second; only where there are two readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows_per_second: Option<f64>,
}

/// What has gone through a service port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortTraffic {
    /// New flows, connections made at sockets among them.
    pub flows: u64,
    /// Translated packets, both directions.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

impl From<Traffic> for PortTraffic {
    fn from(Traffic { flows, packets, bytes }: Traffic) -> Self {
        Self { flows, packets, bytes }
    }
}

/// What a backend has got, by all service ports of its protocol that lead to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackendTraffic {
    /// New flows.
    pub flows: u64,
    /// Translated packets of them, both directions.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
    /// SYNs that it answered with a reset.
    pub refused: u64,
    /// Other resets of it.
    pub resets: u64,
    /// SYNs that were sent again because nobody had answered, and ICMP errors about it.
    pub unanswered: u64,
}

impl BackendTraffic {
    /// What was counted of a backend cell.
    pub fn new(load: &Load, outcomes: &Outcomes) -> Self {
        Self {
            flows: load.flows,
            packets: load.packets,
            bytes: load.bytes,
            refused: outcomes.of(Sign::RefusedByBackend),
            resets: outcomes.of(Sign::ResetByBackend),
            unanswered: outcomes.of(Sign::Unanswered) + outcomes.of(Sign::Unreachable),
        }
    }
}

/// How fast things go through a service port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// New flows a second.
    pub flows: f64,
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
}

impl ServicePort {
    /// The row of the cell `id`, with the counts that these give.
    pub(super) fn of<E>(
        applied: &Applied,
        key: &ServicePortKey,
        id: ServiceId,
        traffic: PortTraffic,
        mut backend_traffic: impl FnMut(BackendId) -> Result<BackendTraffic, E>,
    ) -> Result<Self, E> {
        let tables = applied.tables(key.family);
        let frontends = tables.frontends_of(id).into_iter().flatten().map(|(frontend, kind)| Frontend {
            kind: kind.as_str(),
            address: frontend.address.unwrap_or_else(|| unspecified(key.family)),
            port: frontend.port,
        });
        let mut backends = Vec::new();
        for (cell, Member { lists, weight }) in tables.backends_of(id) {
            let Some(backend) = tables.backend(cell) else { continue };
            backends.push(Backend {
                id: cell,
                address: backend.key.address,
                port: backend.key.port,
                node: applied.node(backend.flags.node).map(str::to_owned),
                local: backend.flags.local,
                state: if backend.flags.terminating { "terminating" } else { "active" },
                lists: lists.into_iter().filter_map(list_name).collect(),
                weight,
                traffic: backend_traffic(cell)?,
                flows_per_second: None,
            });
        }
        backends.sort_by_key(|backend| (backend.address, backend.port));
        let word = tables.service(id).map(|entry| entry.cell.policy).unwrap_or_default();
        let policy = model_policy(word, tables.source_ranges(id).cloned().unwrap_or_default());
        Ok(Self {
            namespace: key.namespace.as_ref().into(),
            name: key.name.as_ref().into(),
            port_name: key.port_name.as_ref().into(),
            protocol: key.protocol.as_str(),
            ip_family: key.family.as_str(),
            key: key.clone(),
            algorithm: policy.algorithm.as_str(),
            max_new_flows_per_second: policy.rate.get(),
            internal_traffic_policy: policy_name(policy.internal),
            external_traffic_policy: policy_name(policy.external),
            session_affinity_seconds: policy.affinity.map_or(0, NonZeroU32::get),
            source_ranges: policy
                .sources
                .map(|sources| sources.ranges.iter().map(ToString::to_string).collect()),
            frontends: frontends.collect(),
            backends,
            traffic,
            per_second: None,
        })
    }

    /// `NAMESPACE/NAME`, with `:PORT` if the port has a name.
    pub fn title(&self) -> String {
        let Self { namespace, name, port_name, .. } = self;
        if port_name.is_empty() {
            format!("{namespace}/{name}")
        } else {
            format!("{namespace}/{name}:{port_name}")
        }
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    }
}

fn list_name(list: List) -> Option<&'static str> {
    match list {
        List::Cluster => Some("cluster"),
        List::Local => Some("local"),
        List::Idle => None,
    }
}

fn policy_name(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}
