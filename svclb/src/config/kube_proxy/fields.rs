//! All fields of `KubeProxyConfiguration`, from `k8s.io/kube-proxy/config/v1alpha1`, with those of older versions.

use crate::config::schema::{
    Field,
    Kind::{Any, Bool, Duration, Int, Number, Object, Text, Texts},
};

const IPTABLES: (&str, &[&str]) = ("mode", &["", "iptables"]);
const IPTABLES_RULES: (&str, &[&str]) = ("mode", &["", "iptables", "ipvs"]);
const IPVS: (&str, &[&str]) = ("mode", &["ipvs"]);
const NFTABLES: (&str, &[&str]) = ("mode", &["nftables"]);
const BRIDGE: (&str, &[&str]) = ("detectLocalMode", &["BridgeInterface"]);
const PREFIX: (&str, &[&str]) = ("detectLocalMode", &["InterfaceNamePrefix"]);

/// The fields.
pub(in crate::config) const FIELDS: &[Field] = &[
    Field::obeyed("apiVersion", Text),
    Field::obeyed("kind", Text),
    // Its family is that of the servers' default addresses; it binds nothing.
    Field::idle("bindAddress", Text, &["0.0.0.0", "::"]),
    Field::obeyed("bindAddressHardFail", Bool),
    Field::obeyed("clientConnection", Object(CLIENT_CONNECTION)),
    Field::obeyed("clusterCIDR", Text),
    Field::idle("configSyncPeriod", Duration, &["15m0s"]),
    Field::obeyed("conntrack", Object(CONNTRACK)),
    Field::obeyed("detectLocal", Object(DETECT_LOCAL)),
    Field::obeyed("detectLocalMode", Text),
    Field::idle("enableProfiling", Bool, &[]),
    Field::idle("featureGates", Any, &[]),
    Field::obeyed("healthzBindAddress", Text),
    Field::obeyed("hostnameOverride", Text),
    Field::obeyed("iptables", Object(IPTABLES_FIELDS)),
    Field::obeyed("ipvs", Object(IPVS_FIELDS)),
    Field::obeyed("logging", Object(LOGGING)),
    Field::obeyed("metricsBindAddress", Text),
    // There is one datapath.
    Field::idle("mode", Text, &["iptables", "nftables"]),
    Field::obeyed("nftables", Object(NFTABLES_FIELDS)),
    Field::obeyed("nodePortAddresses", Texts),
    Field::obeyed("oomScoreAdj", Int),
    Field::idle("portRange", Text, &["0-0"]),
    Field::idle("showHiddenMetricsForVersion", Text, &[]),
    Field::idle("windowsRunAsService", Bool, &[]),
    Field::obeyed("winkernel", Object(WINKERNEL)),
    // Of versions before 1.26.
    Field::idle("resourceContainer", Text, &["/kube-proxy"]),
    Field::idle("udpIdleTimeout", Duration, &["250ms"]),
];

const CLIENT_CONNECTION: &[Field] = &[
    Field::idle("acceptContentTypes", Text, &[]),
    Field::idle("burst", Int, &["10"]),
    Field::idle("contentType", Text, &["application/vnd.kubernetes.protobuf"]),
    Field::obeyed("kubeconfig", Text),
    Field::idle("qps", Number, &["5"]),
];

const CONNTRACK: &[Field] = &[
    // Of versions before 1.22.
    Field::idle("max", Int, &[]),
    Field::obeyed("maxPerCore", Int),
    Field::obeyed("min", Int),
    Field::obeyed("tcpBeLiberal", Bool),
    Field::obeyed("tcpCloseWaitTimeout", Duration),
    Field::obeyed("tcpEstablishedTimeout", Duration),
    Field::obeyed("udpStreamTimeout", Duration),
    Field::obeyed("udpTimeout", Duration),
];

const DETECT_LOCAL: &[Field] = &[
    Field::when("bridgeInterface", Text, BRIDGE, &[]),
    Field::when("interfaceNamePrefix", Text, PREFIX, &[]),
];

const IPTABLES_FIELDS: &[Field] = &[
    Field::when("localhostNodePorts", Bool, IPTABLES, &["true"]).zero_counts(),
    Field::when("masqueradeAll", Bool, IPTABLES_RULES, &[]),
    Field::idle("masqueradeBit", Int, &["14"]).zero_counts(),
    Field::idle("minSyncPeriod", Duration, &["1s"]),
    Field::when("syncPeriod", Duration, IPTABLES, &["30s"]),
];

const IPVS_FIELDS: &[Field] = &[
    Field::idle("excludeCIDRs", Texts, &[]),
    Field::idle("minSyncPeriod", Duration, &[]),
    Field::idle("scheduler", Text, &["rr"]),
    Field::idle("strictARP", Bool, &[]),
    Field::when("syncPeriod", Duration, IPVS, &["30s"]),
    Field::idle("tcpFinTimeout", Duration, &[]),
    Field::idle("tcpTimeout", Duration, &[]),
    Field::idle("udpTimeout", Duration, &[]),
];

const NFTABLES_FIELDS: &[Field] = &[
    Field::when("masqueradeAll", Bool, NFTABLES, &[]),
    Field::idle("masqueradeBit", Int, &["14"]).zero_counts(),
    Field::idle("minSyncPeriod", Duration, &["1s"]),
    Field::when("syncPeriod", Duration, NFTABLES, &["30s"]),
];

const LOGGING: &[Field] = &[
    // A duration, or nanoseconds.
    Field::idle("flushFrequency", Any, &["5s", "5000000000"]),
    Field::idle("format", Text, &["text"]),
    Field::obeyed(
        "options",
        Object(&[Field::obeyed("json", Object(LOG_OUTPUT)), Field::obeyed("text", Object(LOG_OUTPUT))]),
    ),
    Field::idle("verbosity", Int, &[]),
    Field::idle("vmodule", Any, &[]),
];

const LOG_OUTPUT: &[Field] =
    &[Field::idle("infoBufferSize", Any, &[]), Field::idle("splitStream", Bool, &[])];

const WINKERNEL: &[Field] = &[
    Field::idle("enableDSR", Bool, &[]),
    Field::idle("forwardHealthCheckVip", Bool, &[]),
    Field::idle("networkName", Text, &[]),
    Field::idle("rootHnsEndpointName", Text, &[]),
    Field::idle("sourceVip", Text, &[]),
];
