//! Services, EndpointSlices and the Node, and changes of them.
//!
//! What a proxy reads of them, and what it must not read: that a Service publishes addresses that are not ready is the
//! business of whoever writes its slices.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::address::Family;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// 6.
    #[serde(rename = "TCP")]
    Tcp,
    /// 17.
    #[serde(rename = "UDP")]
    Udp,
    /// 132.
    #[serde(rename = "SCTP")]
    Sctp,
}

impl Protocol {
    /// All.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// What the API calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// Its number in an IP header (IANA).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Reached inside the cluster.
    #[default]
    ClusterIP,
    /// By a port of every node as well.
    NodePort,
    /// By a load balancer as well.
    LoadBalancer,
    /// An alias in DNS.
    ExternalName,
}

/// `status.loadBalancer.ingress[].ipMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpMode {
    /// Not stated.
    #[default]
    Unset,
    /// The address arrives at nodes.
    VIP,
    /// The load balancer is a hop of its own.
    Proxy,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Its address.
    pub ip: IpAddr,
    /// How it arrives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: IpMode,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name; may be empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
    /// Its number on nodes; 0 is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub node_port: u16,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `metadata.creationTimestamp`, in seconds from an arbitrary time.
    #[serde(skip_serializing_if = "is_default")]
    pub created: Option<u32>,
    /// `spec.type`.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: ServiceType,
    /// `spec.clusterIPs`, each with its family; none is `None`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// `spec.externalIPs`.
    #[serde(skip_serializing_if = "is_default")]
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress`.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress: Vec<Ingress>,
    /// `spec.loadBalancerSourceRanges`.
    #[serde(skip_serializing_if = "is_default")]
    pub source_ranges: Vec<String>,
    /// Seconds of affinity by the client's address.
    #[serde(skip_serializing_if = "is_default")]
    pub affinity: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    #[serde(skip_serializing_if = "is_default")]
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    #[serde(skip_serializing_if = "is_default")]
    pub external_local: bool,
    /// `spec.healthCheckNodePort`; 0 is none.
    #[serde(skip_serializing_if = "is_default")]
    pub health_port: u16,
    /// `spec.publishNotReadyAddresses`.
    #[serde(skip_serializing_if = "is_default")]
    pub publishes_not_ready: bool,
    /// The label `service.kubernetes.io/service-proxy-name`.
    #[serde(skip_serializing_if = "is_default")]
    pub other_proxy: bool,
}

/// One entry of a slice's `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// The name of the Service port that it is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number, if it has one.
    pub port: Option<u16>,
}

/// One entry of a slice's `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// `nodeName`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub node: Option<String>,
    /// `conditions.ready`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready: Option<bool>,
    /// `conditions.serving`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serving: Option<bool>,
    /// `conditions.terminating`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub terminating: Option<bool>,
    /// `hints.forZones`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub zones: Vec<String>,
    /// `hints.forNodes`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nodes: Vec<String>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Its name.
    pub name: String,
    /// The label `kubernetes.io/service-name`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: String,
    /// The label `service.kubernetes.io/headless`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headless: bool,
    /// `addressType`.
    pub family: Family,
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// The Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The label `topology.kubernetes.io/zone`.
    #[serde(skip_serializing_if = "is_default")]
    pub zone: Option<String>,
    /// `status.addresses`.
    pub addresses: Vec<IpAddr>,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A Service is created, or is another one now.
    Service(Service),
    /// A Service is deleted.
    NoService(String),
    /// A slice is created, or is another one now.
    Slice(Slice),
    /// A slice is deleted.
    NoSlice(String),
    /// The Node of the agent is there, and like this.
    Node(Node),
    /// It is gone.
    NoNode,
}

/// What happens at once.
pub type Step = Vec<Change>;

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "service {}", service.name),
            Self::NoService(name) => write!(f, "no service {name}"),
            Self::Slice(slice) => write!(f, "slice {}", slice.name),
            Self::NoSlice(name) => write!(f, "no slice {name}"),
            Self::Node(_) => f.write_str("the node"),
            Self::NoNode => f.write_str("no node"),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
