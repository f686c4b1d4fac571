//! kube-proxy's `KubeProxyConfiguration`.

mod fields;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

pub(super) use self::fields::FIELDS;
use super::{
    Bind, ClusterCidrs, Conntrack, DetectLocal, FlowTimeouts, Layer, NodePortAddresses, Source,
    duration::GoDuration, text,
};
use crate::manifest::{decode::decode, fault::Fault, tree::Tree};

/// `apiVersion` of the document.
pub(super) const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// `kind` of the document.
pub(super) const KIND: &str = "KubeProxyConfiguration";

/// The fields that are obeyed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    #[serde(deserialize_with = "text::filled")]
    bind_address: Option<IpAddr>,
    bind_address_hard_fail: Option<bool>,
    client_connection: Option<ClientConnection>,
    #[serde(rename = "clusterCIDR", deserialize_with = "text::filled")]
    cluster_cidr: Option<ClusterCidrs>,
    conntrack: Option<Tracking>,
    detect_local: Option<Detect>,
    detect_local_mode: Option<String>,
    #[serde(deserialize_with = "text::filled")]
    healthz_bind_address: Option<Bind>,
    hostname_override: Option<String>,
    iptables: Option<Rules>,
    ipvs: Option<Rules>,
    #[serde(deserialize_with = "text::filled")]
    metrics_bind_address: Option<Bind>,
    mode: Option<String>,
    nftables: Option<Rules>,
    #[serde(deserialize_with = "text::node_port_addresses")]
    node_port_addresses: Option<NodePortAddresses>,
    oom_score_adj: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientConnection {
    #[serde(deserialize_with = "text::filled")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tracking {
    max_per_core: Option<u32>,
    min: Option<u32>,
    #[serde(deserialize_with = "text::parsed")]
    tcp_established_timeout: Option<GoDuration>,
    #[serde(deserialize_with = "text::parsed")]
    tcp_close_wait_timeout: Option<GoDuration>,
    tcp_be_liberal: Option<bool>,
    #[serde(deserialize_with = "text::parsed")]
    udp_timeout: Option<GoDuration>,
    #[serde(deserialize_with = "text::parsed")]
    udp_stream_timeout: Option<GoDuration>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Detect {
    bridge_interface: Option<String>,
    interface_name_prefix: Option<String>,
}

/// What the modes have in common.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    masquerade_all: Option<bool>,
    localhost_node_ports: Option<bool>,
    #[serde(deserialize_with = "text::parsed")]
    sync_period: Option<GoDuration>,
}

/// What the document says.
pub(super) fn layer(tree: &Tree) -> Result<Layer, Fault> {
    let document: Document = decode(tree)?;
    let at = |field: &str, message: String| Fault::new(tree.line_of(field), field, message);

    let detect_local = detect_local(&document).map_err(|(field, message)| at(field, message))?;
    if let Some(score) = document.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(at("oomScoreAdj", format!("{score} is not from -1000 to 1000")));
    }
    let (iptables, ipvs, nftables) = (
        document.iptables.unwrap_or_default(),
        document.ipvs.unwrap_or_default(),
        document.nftables.unwrap_or_default(),
    );
    let mut node_port_addresses = document.node_port_addresses;
    let (masquerade_all, localhost_node_ports, sync_period) = match document.mode.as_deref() {
        None | Some("" | "iptables") => {
            (iptables.masquerade_all, iptables.localhost_node_ports, iptables.sync_period)
        }
        Some("ipvs") => (iptables.masquerade_all, None, ipvs.sync_period),
        Some("nftables") => {
            // That mode's default, on which whoever chose it relies.
            node_port_addresses = node_port_addresses.or(Some(NodePortAddresses::Primary));
            (nftables.masquerade_all, None, nftables.sync_period)
        }
        Some(mode) => return Err(at("mode", format!("{mode:?} is unknown; use iptables, nftables or ipvs"))),
    };
    let name = document.hostname_override.map(|name| name.trim().to_lowercase());
    Ok(Layer {
        node_name: name.filter(|name| !name.is_empty()),
        source: document.client_connection.unwrap_or_default().kubeconfig.map(Source::Kubeconfig),
        cluster_cidrs: document.cluster_cidr,
        node_port_addresses,
        masquerade_all,
        healthz: document.healthz_bind_address,
        metrics: document.metrics_bind_address,
        bind_address_hard_fail: document.bind_address_hard_fail,
        localhost_node_ports,
        detect_local,
        sync_period: set(sync_period),
        oom_score_adj: document.oom_score_adj,
        conntrack: document.conntrack.as_ref().map(conntrack),
        flow_timeouts: document.conntrack.as_ref().and_then(flow_timeouts),
        prefers_v6: document.bind_address.map(|address| address.is_ipv6()),
        ..Layer::default()
    })
}

fn detect_local(document: &Document) -> Result<Option<DetectLocal>, (&'static str, String)> {
    let named = |of: fn(&Detect) -> &Option<String>, field| {
        let name = document.detect_local.as_ref().and_then(|detect| of(detect).clone());
        let name = name.filter(|name| !name.is_empty());
        name.ok_or_else(|| ("detectLocalMode", format!("needs detectLocal.{field}")))
    };
    Ok(Some(match document.detect_local_mode.as_deref() {
        None | Some("") => return Ok(None),
        Some("ClusterCIDR") => DetectLocal::ClusterCidr,
        Some("NodeCIDR") => DetectLocal::NodeCidr,
        Some("BridgeInterface") => DetectLocal::BridgeInterface {
            name: named(|detect| &detect.bridge_interface, "bridgeInterface")?,
        },
        Some("InterfaceNamePrefix") => DetectLocal::InterfaceNamePrefix {
            prefix: named(|detect| &detect.interface_name_prefix, "interfaceNamePrefix")?,
        },
        Some(mode) => {
            let words = "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix";
            return Err(("detectLocalMode", format!("{mode:?} is unknown; use {words}")));
        }
    }))
}

fn conntrack(tracking: &Tracking) -> Conntrack {
    Conntrack {
        max_per_core: tracking.max_per_core,
        min: tracking.min,
        tcp_established_timeout: set(tracking.tcp_established_timeout),
        tcp_close_wait_timeout: set(tracking.tcp_close_wait_timeout),
        tcp_be_liberal: tracking.tcp_be_liberal.unwrap_or_default(),
        udp_timeout: set(tracking.udp_timeout),
        udp_stream_timeout: set(tracking.udp_stream_timeout),
    }
}

/// What the host's connection tracking is asked for counts here too.
fn flow_timeouts(tracking: &Tracking) -> Option<FlowTimeouts> {
    let timeouts = FlowTimeouts::default()
        .with("tcpEstablished", set(tracking.tcp_established_timeout))
        .with("tcpCloseWait", set(tracking.tcp_close_wait_timeout))
        .with("udp", set(tracking.udp_timeout))
        .with("udpStream", set(tracking.udp_stream_timeout));
    (timeouts != FlowTimeouts::default()).then_some(timeouts)
}

/// A duration other than none.
fn set(duration: Option<GoDuration>) -> Option<Duration> {
    duration.map(|duration| duration.0).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;
