//! Files as clusters have them.

use svclb_common::flow::{FlowState, Timeouts};

use super::*;
use crate::{
    config::schema::{self, Effect},
    manifest::tree::documents,
};

/// What kubeadm writes into the `ConfigMap` kube-proxy.
const KUBEADM: &str = include_str!("kubeadm.yaml");

fn read(text: &str) -> Result<(Layer, Vec<String>), (u64, String, String)> {
    let tree = &documents(text).unwrap()[0];
    schema::check(tree, FIELDS)
        .and_then(|idle| Ok((layer(tree)?, idle)))
        .map_err(|fault| (fault.line, fault.field, fault.message))
}

/// kubeadm's file with one line changed.
fn with(line: &str, instead: &str) -> String {
    assert!(KUBEADM.contains(line), "{line}");
    KUBEADM.replacen(line, instead, 1)
}

#[test]
fn kubeadm_s_own_file_is_taken_without_a_word() {
    let (layer, idle) = read(KUBEADM).unwrap();
    let expected = Layer {
        source: Some(Source::Kubeconfig("/var/lib/kube-proxy/kubeconfig.conf".into())),
        cluster_cidrs: Some("10.244.0.0/16".parse().unwrap()),
        masquerade_all: Some(false),
        bind_address_hard_fail: Some(false),
        conntrack: Some(Conntrack::default()),
        prefers_v6: Some(false),
        ..Layer::default()
    };
    assert_eq!((layer, idle), (expected, vec![]));
}

#[test]
fn each_obeyed_field_has_its_effect() {
    let seconds = |n| Some(Duration::from_secs(n));
    let text = "\
bindAddress: '::'
bindAddressHardFail: true
clientConnection: { kubeconfig: /k }
clusterCIDR: 10.0.0.0/8,fd00::/8
conntrack:
  maxPerCore: 1
  min: 2
  tcpBeLiberal: true
  tcpCloseWaitTimeout: 2h0m0s
  tcpEstablishedTimeout: 23h
  udpStreamTimeout: 180s
  udpTimeout: 31s
detectLocal: { interfaceNamePrefix: cali }
detectLocalMode: InterfaceNamePrefix
healthzBindAddress: 0.0.0.0:1
hostnameOverride: Node1
iptables: { localhostNodePorts: false, masqueradeAll: true, syncPeriod: 1m }
metricsBindAddress: 10.0.0.1
nodePortAddresses: [primary]
oomScoreAdj: -999
";
    let (layer, idle) = read(text).unwrap();
    assert_eq!(idle, Vec::<String>::new());
    assert_eq!(
        layer,
        Layer {
            node_name: Some("node1".into()),
            source: Some(Source::Kubeconfig("/k".into())),
            cluster_cidrs: Some("10.0.0.0/8,fd00::/8".parse().unwrap()),
            node_port_addresses: Some(NodePortAddresses::Primary),
            masquerade_all: Some(true),
            healthz: Some("0.0.0.0:1".parse().unwrap()),
            metrics: Some("10.0.0.1".parse().unwrap()),
            bind_address_hard_fail: Some(true),
            localhost_node_ports: Some(false),
            detect_local: Some(DetectLocal::InterfaceNamePrefix { prefix: "cali".into() }),
            sync_period: seconds(60),
            oom_score_adj: Some(-999),
            conntrack: Some(Conntrack {
                max_per_core: Some(1),
                min: Some(2),
                tcp_established_timeout: seconds(82800),
                tcp_close_wait_timeout: seconds(7200),
                tcp_be_liberal: true,
                udp_timeout: seconds(31),
                udp_stream_timeout: seconds(180),
            }),
            flow_timeouts: Some(FlowTimeouts(
                Timeouts::DEFAULT
                    .with(FlowState::Established, 82800)
                    .with(FlowState::FinWait, 7200)
                    .with(FlowState::CloseWait, 7200)
                    .with(FlowState::UdpNew, 31)
                    .with(FlowState::UdpStream, 180),
            )),
            prefers_v6: Some(true),
            ..Layer::default()
        }
    );
}

#[test]
fn what_means_nothing_here_is_told() {
    let table = [
        ("qps: 0\n", "qps: 50\n", "clientConnection.qps"),
        ("burst: 0\n", "burst: 11\n", "clientConnection.burst"),
        ("bindAddress: 0.0.0.0\n", "bindAddress: 10.0.0.1\n", "bindAddress"),
        ("enableProfiling: false\n", "enableProfiling: true\n", "enableProfiling"),
        ("enableProfiling: false\n", "featureGates: { A: true }\n", "featureGates"),
        ("scheduler: \"\"\n", "scheduler: lc\n", "ipvs.scheduler"),
        ("excludeCIDRs: null\n", "excludeCIDRs: [10.0.0.0/8]\n", "ipvs.excludeCIDRs"),
        ("verbosity: 0\n", "verbosity: 4\n", "logging.verbosity"),
        ("infoBufferSize: \"0\"\n", "infoBufferSize: 1Mi\n", "logging.options.json.infoBufferSize"),
        ("masqueradeBit: null\n", "masqueradeBit: 0\n", "iptables.masqueradeBit"),
        ("minSyncPeriod: 0s\n", "minSyncPeriod: 5s\n", "iptables.minSyncPeriod"),
        ("mode: \"\"\n", "mode: ipvs\n", "mode"),
        ("bridgeInterface: \"\"\n", "bridgeInterface: cni0\n", "detectLocal.bridgeInterface"),
        ("networkName: \"\"\n", "networkName: x\n", "winkernel.networkName"),
        ("portRange: \"\"\n", "portRange: 1-2\n", "portRange"),
        ("portRange: \"\"\n", "udpIdleTimeout: 1s\n", "udpIdleTimeout"),
        ("configSyncPeriod: 0s\n", "configSyncPeriod: 1m0s\n", "configSyncPeriod"),
    ];
    for (line, instead, field) in table {
        let (_, idle) = read(&with(line, instead)).unwrap();
        assert_eq!(idle, [field], "{instead}");
    }
    let defaults = [
        ("qps: 0\n", "qps: 5\n"),
        ("masqueradeBit: null\n", "masqueradeBit: 14\n"),
        ("minSyncPeriod: 0s\n", "minSyncPeriod: 1s\n"),
        ("configSyncPeriod: 0s\n", "configSyncPeriod: 15m0s\n"),
        ("mode: \"\"\n", "mode: iptables\n"),
        ("localhostNodePorts: null\n", "localhostNodePorts: true\n"),
    ];
    for (line, instead) in defaults {
        let (_, idle) = read(&with(line, instead)).unwrap();
        assert_eq!(idle, Vec::<String>::new(), "{instead}");
    }
}

#[test]
fn a_mode_s_own_section_counts() {
    let text = "\
iptables: { localhostNodePorts: false, masqueradeAll: true, syncPeriod: 1m }
ipvs: { syncPeriod: 2m }
nftables: { masqueradeAll: true, syncPeriod: 3m }
";
    let table: [(&str, u64, &[&str]); 3] = [
        ("iptables", 60, &["ipvs.syncPeriod", "nftables.masqueradeAll", "nftables.syncPeriod"]),
        (
            "nftables",
            180,
            &[
                "iptables.localhostNodePorts",
                "iptables.masqueradeAll",
                "iptables.syncPeriod",
                "ipvs.syncPeriod",
            ],
        ),
        (
            "ipvs",
            120,
            &[
                "iptables.localhostNodePorts",
                "iptables.syncPeriod",
                "mode",
                "nftables.masqueradeAll",
                "nftables.syncPeriod",
            ],
        ),
    ];
    for (mode, period, expected) in table {
        let (layer, mut idle) = read(&format!("mode: {mode}\n{text}")).unwrap();
        idle.sort();
        assert_eq!(idle, expected, "{mode}");
        assert_eq!(layer.sync_period, Some(Duration::from_secs(period)), "{mode}");
        assert_eq!(layer.masquerade_all, Some(true), "{mode}");
        assert_eq!(layer.localhost_node_ports, (mode == "iptables").then_some(false), "{mode}");
        let primary = (mode == "nftables").then_some(NodePortAddresses::Primary);
        assert_eq!(layer.node_port_addresses, primary, "{mode}");
    }
}

#[test]
fn what_is_wrong_is_told_with_line_and_field() {
    let table = [
        ("clusterCIDR: 10.244.0.0/16\n", "clusterCidr: 10.244.0.0/16\n", 10, "clusterCidr"),
        ("clusterCIDR: 10.244.0.0/16\n", "clusterCIDR: 10.244.0.0\n", 10, "clusterCIDR"),
        ("  masqueradeAll: false\n", "  masqeradeAll: false\n", 29, "iptables.masqeradeAll"),
        ("iptables:\n", "iptabels:\n", 27, "iptabels"),
        ("kubeconfig:", "kubeConfig:", 8, "clientConnection.kubeConfig"),
        ("mode: \"\"\n", "mode: kernelspace\n", 52, "mode"),
        ("detectLocalMode: \"\"\n", "detectLocalMode: NodeCidr\n", 23, "detectLocalMode"),
        ("detectLocalMode: \"\"\n", "detectLocalMode: BridgeInterface\n", 23, "detectLocalMode"),
        ("healthzBindAddress: \"\"\n", "healthzBindAddress: x:y\n", 25, "healthzBindAddress"),
        ("udpTimeout: 0s\n", "udpTimeout: 30\n", 19, "conntrack.udpTimeout"),
        ("  min: null\n", "  min: -1\n", 14, "conntrack.min"),
        ("oomScoreAdj: null\n", "oomScoreAdj: 1001\n", 59, "oomScoreAdj"),
        ("nodePortAddresses: null\n", "nodePortAddresses: [x]\n", 58, "nodePortAddresses"),
        ("nodePortAddresses: null\n", "nodePortAddresses: 10.0.0.0/8\n", 58, "nodePortAddresses"),
        ("bindAddress: 0.0.0.0\n", "bindAddress: localhost\n", 2, "bindAddress"),
    ];
    for (line, instead, number, field) in table {
        let (got_line, got_field, message) = read(&with(line, instead)).unwrap_err();
        assert_eq!((got_line, got_field.as_str()), (number, field), "{instead}: {message}");
    }
}

#[test]
fn the_documentation_has_every_field() {
    let docs = include_str!("../../../../docs/configuration.md");
    for (path, effect) in schema::paths(FIELDS) {
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row for `{path}`"));
        let ignored = row.contains("| ignored");
        assert_eq!(ignored, matches!(effect, Effect::Never), "{row}");
    }
}
