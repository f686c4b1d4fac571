//! svclb's own document: a field for every flag.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    Algorithm, Bind, ClusterCidrs, DsrEncapsulation, ExternalMode, FlowTimeouts, Layer, Masquerade,
    NodePortAddresses, PortRange, Rate, ServiceSeries, SocketLb, Source, TableSize, Xdp,
    schema::{Field, Kind},
    text,
};
use crate::manifest::{decode::decode, fault::Fault, tree::Tree};

/// `apiVersion` of the document.
pub(super) const API_VERSION: &str = "svclb.io/v1alpha1";
/// `kind` of the document.
pub(super) const KIND: &str = "Config";

/// Its fields.
pub(super) const FIELDS: &[Field] = &[
    Field::obeyed("apiVersion", Kind::Text),
    Field::obeyed("kind", Kind::Text),
    Field::obeyed("nodeName", Kind::Text),
    Field::obeyed("kubeconfig", Kind::Text),
    Field::obeyed("manifests", Kind::Text),
    Field::obeyed("bpffs", Kind::Text),
    Field::obeyed("cgroup", Kind::Text),
    Field::obeyed("uplinks", Kind::Texts),
    Field::obeyed("podInterfaces", Kind::Texts),
    Field::obeyed("socketLB", Kind::Word),
    Field::obeyed("xdp", Kind::Word),
    Field::obeyed("externalMode", Kind::Word),
    Field::obeyed("dsrEncapsulation", Kind::Word),
    Field::obeyed("algorithm", Kind::Word),
    Field::obeyed("maglevTableSize", Kind::Int),
    Field::obeyed("clusterCIDR", Kind::Text),
    Field::obeyed("nodePortAddresses", Kind::Texts),
    Field::obeyed("masqueradeAll", Kind::Bool),
    Field::obeyed("masquerade", Kind::Word),
    Field::obeyed("snatPorts", Kind::Text),
    Field::obeyed("vipEcho", Kind::Bool),
    Field::obeyed("selfProbe", Kind::Bool),
    Field::obeyed("healthzBindAddress", Kind::Text),
    Field::obeyed("metricsBindAddress", Kind::Text),
    Field::obeyed("metricsServiceSeries", Kind::Any),
    Field::obeyed("maxFlows", Kind::Int),
    Field::obeyed("maxNewFlowsPerSecond", Kind::Int),
    Field::obeyed("flowTimeouts", Kind::Object(FLOW_TIMEOUTS)),
    Field::obeyed("sandboxRuntimeClasses", Kind::Texts),
];

const FLOW_TIMEOUTS: &[Field] = &[
    Field::obeyed("tcpSynSent", Kind::Duration),
    Field::obeyed("tcpSynReceived", Kind::Duration),
    Field::obeyed("tcpEstablished", Kind::Duration),
    Field::obeyed("tcpCloseWait", Kind::Duration),
    Field::obeyed("tcpTimeWait", Kind::Duration),
    Field::obeyed("tcpClosed", Kind::Duration),
    Field::obeyed("tcpReset", Kind::Duration),
    Field::obeyed("udp", Kind::Duration),
    Field::obeyed("udpStream", Kind::Duration),
    Field::obeyed("sctp", Kind::Duration),
    Field::obeyed("sctpEstablished", Kind::Duration),
    Field::obeyed("sctpClosed", Kind::Duration),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Document {
    node_name: Option<String>,
    kubeconfig: Option<PathBuf>,
    manifests: Option<PathBuf>,
    bpffs: Option<PathBuf>,
    cgroup: Option<PathBuf>,
    uplinks: Option<Vec<String>>,
    pod_interfaces: Option<Vec<String>>,
    #[serde(rename = "socketLB", deserialize_with = "text::word")]
    socket_lb: Option<SocketLb>,
    #[serde(deserialize_with = "text::word")]
    xdp: Option<Xdp>,
    #[serde(deserialize_with = "text::word")]
    external_mode: Option<ExternalMode>,
    #[serde(deserialize_with = "text::word")]
    dsr_encapsulation: Option<DsrEncapsulation>,
    #[serde(deserialize_with = "text::word")]
    algorithm: Option<Algorithm>,
    maglev_table_size: Option<u32>,
    #[serde(rename = "clusterCIDR", deserialize_with = "text::parsed")]
    cluster_cidr: Option<ClusterCidrs>,
    #[serde(deserialize_with = "text::node_port_addresses")]
    node_port_addresses: Option<NodePortAddresses>,
    masquerade_all: Option<bool>,
    #[serde(deserialize_with = "text::word")]
    masquerade: Option<Masquerade>,
    #[serde(deserialize_with = "text::parsed")]
    snat_ports: Option<PortRange>,
    vip_echo: Option<bool>,
    self_probe: Option<bool>,
    #[serde(deserialize_with = "text::parsed")]
    healthz_bind_address: Option<Bind>,
    #[serde(deserialize_with = "text::parsed")]
    metrics_bind_address: Option<Bind>,
    metrics_service_series: Option<ServiceSeries>,
    max_flows: Option<u32>,
    max_new_flows_per_second: Option<u32>,
    flow_timeouts: Option<FlowTimeouts>,
    sandbox_runtime_classes: Option<Vec<String>>,
}

/// What the document says.
pub(super) fn layer(tree: &Tree) -> Result<Layer, Fault> {
    let document: Document = decode(tree)?;
    let at = |field: &str, message: String| Fault::new(tree.line_of(field), field, message);
    if document.node_name.as_deref() == Some("") {
        return Err(at("nodeName", "must not be empty".into()));
    }
    if let Some(flows) = document.max_flows.filter(|flows| !super::resolve::MAX_FLOWS.contains(flows)) {
        let (least, most) = super::resolve::MAX_FLOWS.into_inner();
        return Err(at("maxFlows", format!("{flows} is not from {least} to {most}")));
    }
    if let Some(field) = document.flow_timeouts.and_then(|timeouts| timeouts.zero()) {
        return Err(at("flowTimeouts", format!("{field} must be more than 0")));
    }
    let max_new_flows = document.max_new_flows_per_second.map(Rate::try_from).transpose();
    let max_new_flows = max_new_flows.map_err(|message| at("maxNewFlowsPerSecond", message))?;
    let maglev_table_size = document.maglev_table_size.map(TableSize::try_from).transpose();
    let maglev_table_size = maglev_table_size.map_err(|message| at("maglevTableSize", message))?;
    let source = match (document.manifests, document.kubeconfig) {
        (Some(_), Some(_)) => {
            return Err(at("manifests", "stands beside kubeconfig; leave one of them out".into()));
        }
        (Some(dir), None) => Some(Source::Manifests(dir)),
        (None, Some(file)) => Some(Source::Kubeconfig(file)),
        (None, None) => None,
    };
    Ok(Layer {
        node_name: document.node_name,
        source,
        bpffs: document.bpffs,
        cgroup: document.cgroup,
        uplinks: document.uplinks,
        pod_interfaces: document.pod_interfaces,
        socket_lb: document.socket_lb,
        xdp: document.xdp,
        external_mode: document.external_mode,
        dsr_encapsulation: document.dsr_encapsulation,
        algorithm: document.algorithm,
        maglev_table_size,
        cluster_cidrs: document.cluster_cidr,
        node_port_addresses: document.node_port_addresses,
        masquerade_all: document.masquerade_all,
        masquerade: document.masquerade,
        snat_ports: document.snat_ports,
        vip_echo: document.vip_echo,
        self_probe: document.self_probe,
        healthz: document.healthz_bind_address,
        metrics: document.metrics_bind_address,
        service_series: document.metrics_service_series,
        max_flows: document.max_flows,
        max_new_flows,
        flow_timeouts: document.flow_timeouts,
        sandboxes: document.sandbox_runtime_classes,
        ..Layer::default()
    })
}
