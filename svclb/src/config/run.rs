//! The complete configuration.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::Serialize;

use super::{
    Algorithm, ClusterCidrs, Conntrack, DetectLocal, DsrEncapsulation, ExternalMode, FlowTimeouts, Layer,
    Masquerade, NodePortAddresses, PortRange, Rate, ServiceSeries, SocketLb, TableSize, Tc, Xdp, duration,
};

/// Where pins are unless told otherwise.
const BPFFS: &str = "/sys/fs/bpf/svclb";
/// The port of `/healthz` and `/livez`, kube-proxy's.
const HEALTHZ_PORT: u16 = 10256;
/// The port of `/metrics`, kube-proxy's.
const METRICS_PORT: u16 = 10249;
/// kube-proxy's.
const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// The usual names of runtimes that keep a pod's processes apart from the node's kernel: gVisor and Kata Containers.
const SANDBOXES: [&str; 3] = ["gvisor", "runsc", "kata*"];

/// Where API objects come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// The API server that a kubeconfig names.
    Kubeconfig(PathBuf),
    /// The API server of the cluster this is a pod of.
    InCluster,
}

/// What `svclb run` does, complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunConfig {
    /// The name of this node's Node object.
    pub node_name: String,
    /// Where API objects come from.
    pub source: Source,
    /// The folder for pins.
    pub bpffs: PathBuf,
    /// The root for socket hooks; `None` is the cgroup v2 mount.
    pub cgroup: Option<PathBuf>,
    /// Devices to other nodes and the outside; none are those of the default routes.
    pub uplinks: Vec<String>,
    /// Patterns for the names of devices to pods; none are veth and netkit devices.
    pub pod_interfaces: Vec<String>,
    /// For whom addresses are translated at the socket.
    #[serde(rename = "socketLB")]
    pub socket_lb: SocketLb,
    /// Patterns for the names of runtime classes whose pods' sockets are left alone.
    pub sandbox_runtime_classes: Vec<String>,
    /// How programs are attached to devices.
    pub tc: Tc,
    /// Flow entries to have room for, per family.
    pub max_flows: Option<u32>,
    /// New flows that a Service port takes in a second where its Service does not say.
    pub max_new_flows_per_second: Rate,
    /// Whether packets from outside are taken before the stack sees them.
    pub xdp: Xdp,
    /// By whom a client outside is answered.
    pub external_mode: ExternalMode,
    /// What packets to the backend's node travel in.
    pub dsr_encapsulation: DsrEncapsulation,
    /// How backends are chosen.
    pub algorithm: Algorithm,
    /// Slots of a Maglev table.
    pub maglev_table_size: TableSize,
    /// The ranges of the pods of all nodes.
    #[serde(rename = "clusterCIDRs")]
    pub cluster_cidrs: ClusterCidrs,
    /// Which addresses of the node answer at node ports.
    pub node_port_addresses: NodePortAddresses,
    /// Whether every client of a ClusterIP is masqueraded.
    pub masquerade_all: bool,
    /// Where clients get the node's address as their source.
    pub masquerade: Masquerade,
    /// The source ports that translated flows get.
    pub snat_ports: PortRange,
    /// Whether ClusterIPs answer to ICMP echo.
    pub vip_echo: bool,
    /// Whether the agent sends packets through a Service of its own.
    pub self_probe: bool,
    /// Whether node ports answer on loopback addresses.
    pub localhost_node_ports: bool,
    /// Which clients count as pods.
    pub detect_local: DetectLocal,
    /// Where `/healthz` and `/livez` are; `None` is nowhere.
    pub healthz_bind_address: Option<SocketAddr>,
    /// Where `/metrics` is; `None` is nowhere.
    pub metrics_bind_address: Option<SocketAddr>,
    /// Which Service ports have series of metrics of their own.
    pub metrics_service_series: ServiceSeries,
    /// Whether an address that cannot be listened at ends the agent.
    pub bind_address_hard_fail: bool,
    /// A change that has waited for twice as long makes the node unhealthy.
    #[serde(serialize_with = "duration::serialize")]
    pub sync_period: Duration,
    /// `/proc/self/oom_score_adj`; `None` leaves it.
    pub oom_score_adj: Option<i32>,
    /// What the kernel's connection tracking is asked for.
    pub conntrack: Conntrack,
    /// For how long flows are remembered.
    pub flow_timeouts: FlowTimeouts,
}

impl RunConfig {
    /// What `layer` says, with defaults for what it leaves open but these two, which have none.
    pub(super) fn new(layer: Layer, node_name: String, source: Source) -> Self {
        let any = |v4: Ipv4Addr, v6: Ipv6Addr| {
            if layer.prefers_v6 == Some(true) { IpAddr::V6(v6) } else { IpAddr::V4(v4) }
        };
        let (everywhere, loopback) = (
            any(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            any(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        );
        let detect_local = layer.detect_local.unwrap_or_default();
        let pod_interfaces = layer.pod_interfaces.unwrap_or_else(|| match &detect_local {
            DetectLocal::InterfaceNamePrefix { prefix } => vec![format!("{prefix}*")],
            _ => Vec::new(),
        });
        Self {
            node_name,
            source,
            bpffs: layer.bpffs.unwrap_or_else(|| BPFFS.into()),
            cgroup: layer.cgroup,
            uplinks: layer.uplinks.unwrap_or_default(),
            pod_interfaces,
            socket_lb: layer.socket_lb.unwrap_or_default(),
            sandbox_runtime_classes: layer.sandboxes.unwrap_or_else(|| SANDBOXES.map(String::from).into()),
            tc: layer.tc.unwrap_or_default(),
            max_flows: layer.max_flows,
            max_new_flows_per_second: layer.max_new_flows.unwrap_or_default(),
            xdp: layer.xdp.unwrap_or_default(),
            external_mode: layer.external_mode.unwrap_or_default(),
            dsr_encapsulation: layer.dsr_encapsulation.unwrap_or_default(),
            algorithm: layer.algorithm.unwrap_or_default(),
            maglev_table_size: layer.maglev_table_size.unwrap_or_default(),
            cluster_cidrs: layer.cluster_cidrs.unwrap_or_default(),
            node_port_addresses: layer.node_port_addresses.unwrap_or_default(),
            masquerade_all: layer.masquerade_all.unwrap_or_default(),
            masquerade: layer.masquerade.unwrap_or_default(),
            snat_ports: layer.snat_ports.unwrap_or_default(),
            vip_echo: layer.vip_echo.unwrap_or_default(),
            self_probe: layer.self_probe.unwrap_or(true),
            localhost_node_ports: layer.localhost_node_ports.unwrap_or(true),
            detect_local,
            healthz_bind_address: layer.healthz.map_or_else(
                || Some(SocketAddr::new(everywhere, HEALTHZ_PORT)),
                |bind| bind.or_port(HEALTHZ_PORT),
            ),
            metrics_bind_address: layer.metrics.map_or_else(
                || Some(SocketAddr::new(loopback, METRICS_PORT)),
                |bind| bind.or_port(METRICS_PORT),
            ),
            metrics_service_series: layer.service_series.unwrap_or_default(),
            bind_address_hard_fail: layer.bind_address_hard_fail.unwrap_or_default(),
            sync_period: layer.sync_period.unwrap_or(SYNC_PERIOD),
            oom_score_adj: layer.oom_score_adj,
            conntrack: layer.conntrack.unwrap_or_default(),
            flow_timeouts: layer.flow_timeouts.unwrap_or_default(),
        }
    }
}
