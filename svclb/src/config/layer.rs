//! What one place says of a configuration.

use std::{path::PathBuf, time::Duration};

use super::{
    Algorithm, Bind, ClusterCidrs, Conntrack, DetectLocal, DsrEncapsulation, ExternalMode, FlowTimeouts,
    Masquerade, NodePortAddresses, PortRange, Rate, ServiceSeries, SocketLb, Source, TableSize, Tc, Xdp,
};

/// What flags, or a file, say. What they leave open is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--manifests` or `--kubeconfig`.
    pub source: Option<Source>,
    /// `--bpffs`.
    pub bpffs: Option<PathBuf>,
    /// `--cgroup`.
    pub cgroup: Option<PathBuf>,
    /// `--uplink`.
    pub uplinks: Option<Vec<String>>,
    /// `--pod-interface`.
    pub pod_interfaces: Option<Vec<String>>,
    /// `--socket-lb`.
    pub socket_lb: Option<SocketLb>,
    /// `--tc`.
    pub tc: Option<Tc>,
    /// `--max-flows`.
    pub max_flows: Option<u32>,
    /// `--max-new-flows-per-second`.
    pub max_new_flows: Option<Rate>,
    /// `--xdp`.
    pub xdp: Option<Xdp>,
    /// `--external-mode`.
    pub external_mode: Option<ExternalMode>,
    /// `--dsr-encapsulation`.
    pub dsr_encapsulation: Option<DsrEncapsulation>,
    /// `--algorithm`.
    pub algorithm: Option<Algorithm>,
    /// `--maglev-table-size`.
    pub maglev_table_size: Option<TableSize>,
    /// `--cluster-cidr`.
    pub cluster_cidrs: Option<ClusterCidrs>,
    /// `--nodeport-addresses`.
    pub node_port_addresses: Option<NodePortAddresses>,
    /// `--masquerade-all`.
    pub masquerade_all: Option<bool>,
    /// `--masquerade`.
    pub masquerade: Option<Masquerade>,
    /// `--snat-ports`.
    pub snat_ports: Option<PortRange>,
    /// `--vip-echo`.
    pub vip_echo: Option<bool>,
    /// `--self-probe`.
    pub self_probe: Option<bool>,
    /// `--healthz-bind-address`.
    pub healthz: Option<Bind>,
    /// `--metrics-bind-address`.
    pub metrics: Option<Bind>,
    /// `--metrics-service-series`.
    pub service_series: Option<ServiceSeries>,
    /// `sandboxRuntimeClasses` of our own document.
    pub sandboxes: Option<Vec<String>>,
    /// `bindAddressHardFail` of kube-proxy's configuration, as all below.
    pub bind_address_hard_fail: Option<bool>,
    /// `iptables.localhostNodePorts`.
    pub localhost_node_ports: Option<bool>,
    /// `detectLocalMode`.
    pub detect_local: Option<DetectLocal>,
    /// `iptables.syncPeriod`.
    pub sync_period: Option<Duration>,
    /// `oomScoreAdj`.
    pub oom_score_adj: Option<i32>,
    /// `conntrack`.
    pub conntrack: Option<Conntrack>,
    /// `flowTimeouts`, or what `conntrack` says of them.
    pub flow_timeouts: Option<FlowTimeouts>,
    /// Whether servers listen on IPv6 addresses unless told otherwise (the family of `bindAddress`).
    pub prefers_v6: Option<bool>,
}

impl Layer {
    /// This layer, and `below` where it leaves something open.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            node_name: self.node_name.or(below.node_name),
            source: self.source.or(below.source),
            bpffs: self.bpffs.or(below.bpffs),
            cgroup: self.cgroup.or(below.cgroup),
            uplinks: self.uplinks.or(below.uplinks),
            pod_interfaces: self.pod_interfaces.or(below.pod_interfaces),
            socket_lb: self.socket_lb.or(below.socket_lb),
            tc: self.tc.or(below.tc),
            max_flows: self.max_flows.or(below.max_flows),
            max_new_flows: self.max_new_flows.or(below.max_new_flows),
            xdp: self.xdp.or(below.xdp),
            external_mode: self.external_mode.or(below.external_mode),
            dsr_encapsulation: self.dsr_encapsulation.or(below.dsr_encapsulation),
            algorithm: self.algorithm.or(below.algorithm),
            maglev_table_size: self.maglev_table_size.or(below.maglev_table_size),
            cluster_cidrs: self.cluster_cidrs.or(below.cluster_cidrs),
            node_port_addresses: self.node_port_addresses.or(below.node_port_addresses),
            masquerade_all: self.masquerade_all.or(below.masquerade_all),
            masquerade: self.masquerade.or(below.masquerade),
            snat_ports: self.snat_ports.or(below.snat_ports),
            vip_echo: self.vip_echo.or(below.vip_echo),
            self_probe: self.self_probe.or(below.self_probe),
            healthz: self.healthz.or(below.healthz),
            metrics: self.metrics.or(below.metrics),
            service_series: self.service_series.or(below.service_series),
            sandboxes: self.sandboxes.or(below.sandboxes),
            bind_address_hard_fail: self.bind_address_hard_fail.or(below.bind_address_hard_fail),
            localhost_node_ports: self.localhost_node_ports.or(below.localhost_node_ports),
            detect_local: self.detect_local.or(below.detect_local),
            sync_period: self.sync_period.or(below.sync_period),
            oom_score_adj: self.oom_score_adj.or(below.oom_score_adj),
            conntrack: self.conntrack.or(below.conntrack),
            flow_timeouts: self.flow_timeouts.or(below.flow_timeouts),
            prefers_v6: self.prefers_v6.or(below.prefers_v6),
        }
    }
}
