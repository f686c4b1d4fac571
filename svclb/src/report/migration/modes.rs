//! What kube-proxy's modes do otherwise than svclb: `docs/semantics.md` has the reasons.

use crate::report::check::{Finding, finding};

/// In every mode.
const ALWAYS: &[(&str, &str)] = &[
    (
        "source addresses",
        "pods keep theirs to every backend, and all clients theirs to backends on this node; --masquerade=compat does as kube-proxy does",
    ),
    ("a pod that selects itself", "sees the Service's address as its client, not the node's"),
    (
        "unallocated addresses",
        "packets to an address of a ServiceCIDR that no Service has are dropped, not routed on",
    ),
    (
        "contested addresses",
        "the API server's own come before a load balancer's, those before externalIPs, older Services before younger ones",
    ),
    (
        "connected datagram sockets of the host",
        "are ended when their backend is gone, where kube-proxy moves the next datagram",
    ),
    ("conntrack sysctls", "are set only where the configuration says so"),
];

const IPTABLES: &[(&str, &str)] = &[
    ("wrong port of a ClusterIP", "is refused, where mode iptables routes it on"),
    ("packets that connection tracking finds invalid", "are not dropped: svclb tracks its own flows"),
    (
        "forwarding",
        "no rule accepts Services' packets in the chain FORWARD: a firewall that drops there has to allow pods",
    ),
    ("localhost node ports", "as here, in both families; they are translated at the socket"),
];

const IPVS: &[(&str, &str)] = &[
    ("scheduler", "random, unless algorithm says otherwise: round-robin, least-conn, source-hash, maglev"),
    (
        "addresses on devices",
        "there are none: a ClusterIP does not answer to ping (vipEcho), nor to what listens on all addresses",
    ),
    ("localhost node ports", "127.0.0.1 and ::1 answer for processes of the host"),
    (
        "externalTrafficPolicy Local without a local endpoint",
        "is dropped, where ipvs forwards and loses the answer",
    ),
    ("endpoints that go", "TCP connections stay with them without a limit of time"),
    ("firewall", "no rule accepts Services' packets in the chains INPUT and FORWARD"),
    ("timeouts", "ipvs.tcpTimeout and its like mean nothing; flowTimeouts has svclb's own"),
];

const NFTABLES: &[(&str, &str)] = &[
    (
        "localhost node ports",
        "127.0.0.1 and ::1 answer for processes of the host, unless nodePortAddresses leaves them out",
    ),
    (
        "nodePortAddresses",
        "all addresses by default; with the file of mode nftables the primary ones, as there",
    ),
];

/// What a user of `mode` notices.
pub(super) fn differences(mode: &str) -> Vec<Finding> {
    let own = match mode {
        "ipvs" => IPVS,
        "nftables" => NFTABLES,
        _ => IPTABLES,
    };
    own.iter().chain(ALWAYS).map(|(what, detail)| finding(*what, "differs", *detail)).collect()
}

/// Why a field that is set means nothing.
pub(super) fn why_ignored(field: &str, value: &str) -> String {
    match field {
        "mode" => "there is one datapath".to_owned(),
        "ipvs.scheduler" => format!("algorithm has svclb's own; {}", super::algorithm(value)),
        "ipvs.strictARP" => "no address of a Service is on a device".to_owned(),
        "ipvs.excludeCIDRs" => "svclb touches no virtual server of others".to_owned(),
        "ipvs.tcpTimeout" | "ipvs.tcpFinTimeout" | "ipvs.udpTimeout" => {
            "flowTimeouts has svclb's own".to_owned()
        }
        "iptables.masqueradeBit" | "nftables.masqueradeBit" => "no mark is left on packets".to_owned(),
        "iptables.minSyncPeriod" | "nftables.minSyncPeriod" | "ipvs.minSyncPeriod" => {
            "a change costs what has changed, and is not held back".to_owned()
        }
        "clientConnection.qps" | "clientConnection.burst" => {
            "the API server is watched, not asked".to_owned()
        }
        "featureGates" => "features are there, or not".to_owned(),
        _ => "it means nothing here".to_owned(),
    }
}
