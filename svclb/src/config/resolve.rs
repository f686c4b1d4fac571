//! From what each place says to one configuration.

use std::{env, ops::RangeInclusive, path::Path};

use super::{ConfigError, File, Layer, RunConfig, SocketLb, Source};

/// Flow entries that may be asked for.
pub(crate) const MAX_FLOWS: RangeInclusive<u32> = 16..=16_777_216;

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What the process finds around itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The host name, in lower case; `None` if there is none to be had.
    pub host_name: Option<String>,
    /// Whether this is a pod with a service account.
    pub in_cluster: bool,
}

impl Environment {
    /// That of this process.
    pub fn here() -> Self {
        Self {
            host_name: nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().to_lowercase()),
            in_cluster: env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists(),
        }
    }
}

/// The outcome of [`resolve()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What to do.
    pub config: RunConfig,
    /// What was asked for and is not done, each a line.
    pub warnings: Vec<String>,
    /// The file of `--config`, to be followed.
    pub file: Option<File>,
    /// What was said about sockets, if anything.
    pub socket_lb: Option<SocketLb>,
}

/// Asks the flags, then the file at `path`, then `environment`.
pub fn resolve(
    flags: Layer,
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Resolved, ConfigError> {
    let file = path.map(File::read).transpose()?;
    let (below, idle) = file.as_ref().map(File::layer).transpose()?.unwrap_or_default();
    let mut layer = flags.over(below);
    let source = match layer.source.take() {
        Some(source) => source,
        None if environment.in_cluster => Source::InCluster,
        None => return Err(ConfigError::NoSource),
    };
    let name = layer.node_name.take().or_else(|| environment.host_name.clone());
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| ConfigError::Flag {
        flag: "--node-name",
        message: "this host has no name; give the name of its Node object".into(),
    })?;
    let mut warnings = Vec::new();
    if let Some(path) = path.filter(|_| !idle.is_empty()) {
        warnings.push(format!(
            "{}: means nothing to svclb and is ignored: {}",
            path.display(),
            idle.join(", ")
        ));
    }
    let socket_lb = layer.socket_lb;
    Ok(Resolved { config: RunConfig::new(layer, name, source), warnings, file, socket_lb })
}

#[cfg(test)]
mod tests {
    use std::{fs, net::SocketAddr};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Bind;

    const OWN: &str = "apiVersion: svclb.io/v1alpha1\nkind: Config\n";
    const KUBE_PROXY: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

    fn here() -> Environment {
        Environment { host_name: Some("host".into()), in_cluster: false }
    }

    fn with_file(flags: Layer, text: impl AsRef<[u8]>) -> Result<Resolved, ConfigError> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, text).unwrap();
        resolve(flags, Some(&path), &here())
    }

    fn manifests() -> Layer {
        Layer { source: Some(Source::Manifests("/m".into())), ..Layer::default() }
    }

    #[test]
    fn defaults_are_those_of_kube_proxy() {
        let Resolved { config, warnings, file, .. } = resolve(manifests(), None, &here()).unwrap();
        assert_eq!((warnings, file), (vec![], None));
        let mut expected = serde_json::json!({
            "nodeName": "host", "source": { "manifests": "/m" }, "bpffs": "/sys/fs/bpf/svclb", "cgroup": null,
            "uplinks": [], "podInterfaces": [], "socketLB": "all",
            "sandboxRuntimeClasses": ["gvisor", "runsc", "kata*"], "tc": "auto", "maxFlows": null, "xdp": "auto",
            "externalMode": "snat", "algorithm": "random", "maglevTableSize": 16381, "clusterCIDRs": [], "nodePortAddresses": [],
            "masqueradeAll": false, "masquerade": "safe", "snatPorts": "1024-29999", "vipEcho": false, "localhostNodePorts": true, "detectLocal": { "mode": "ClusterCIDR" },
            "healthzBindAddress": "0.0.0.0:10256", "metricsBindAddress": "127.0.0.1:10249",
            "bindAddressHardFail": false, "syncPeriod": "30s", "oomScoreAdj": null,
            "conntrack": {
                "maxPerCore": null, "min": null, "tcpEstablishedTimeout": null, "tcpCloseWaitTimeout": null,
                "tcpBeLiberal": false, "udpTimeout": null, "udpStreamTimeout": null,
            },
            "flowTimeouts": {
                "tcpSynSent": "2m0s", "tcpSynReceived": "1m0s", "tcpEstablished": "24h0m0s", "tcpCloseWait": "1h0m0s",
                "tcpTimeWait": "2m0s", "tcpClosed": "10s", "tcpReset": "1h0m0s", "udp": "30s", "udpStream": "2m0s",
                "sctp": "30s", "sctpEstablished": "3m30s", "sctpClosed": "10s",
            },
        });
        expected["dsrEncapsulation"] = "ipip".into();
        expected["selfProbe"] = true.into();
        expected["maxNewFlowsPerSecond"] = 0.into();
        expected["metricsServiceSeries"] = 200.into();
        assert_eq!(serde_json::to_value(config).unwrap(), expected);
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = format!("{OWN}nodeName: file\nsocketLB: host\nmanifests: /file\nmetricsBindAddress: ''\n");
        let flags = Layer { node_name: Some("flag".into()), ..Layer::default() };
        let resolved = with_file(flags, &file).unwrap();
        assert_eq!(resolved.socket_lb, Some(SocketLb::Host));
        let config = resolved.config;
        assert_eq!((config.node_name.as_str(), config.socket_lb), ("flag", SocketLb::Host));
        assert_eq!(config.source, Source::Manifests("/file".into()));
        assert_eq!(config.metrics_bind_address, None, "empty is nowhere");

        let kubeconfig = Source::Kubeconfig("/flag".into());
        let flags = Layer { source: Some(kubeconfig.clone()), ..Layer::default() };
        assert_eq!(with_file(flags, &file).unwrap().config.source, kubeconfig, "instead of the other source");
        let file = format!("{KUBE_PROXY}clientConnection: {{ kubeconfig: /k }}\n");
        assert_eq!(with_file(manifests(), &file).unwrap().config.source, Source::Manifests("/m".into()));
        assert_eq!(
            with_file(Layer::default(), &file).unwrap().config.source,
            Source::Kubeconfig("/k".into())
        );
    }

    #[test]
    fn every_field_of_our_own_document_is_heard() {
        let file = "nodeName: node\nkubeconfig: /k\nbpffs: /b\ncgroup: /c\nuplinks: [e]\npodInterfaces: [p*]\n\
            socketLB: off\nxdp: off\nexternalMode: dsr\ndsrEncapsulation: gue\nalgorithm: maglev\nmaglevTableSize: 251\nclusterCIDR: 10.0.0.0/8\n\
            nodePortAddresses: [primary]\nmasqueradeAll: true\nmasquerade: compat\nsnatPorts: 2000-3000\nvipEcho: true\nhealthzBindAddress: :1\n\
            metricsBindAddress: :2\nmetricsServiceSeries: all\nmaxFlows: 99\nmaxNewFlowsPerSecond: 77\nflowTimeouts: { udp: 7s }\nsandboxRuntimeClasses: [x]\n";
        let config = with_file(Layer::default(), format!("{OWN}{file}")).unwrap().config;
        let heard = serde_json::to_value(&config).unwrap();
        let quiet = resolve(manifests(), None, &here()).unwrap().config;
        let quiet = serde_json::to_value(&quiet).unwrap();
        let same: Vec<_> = heard
            .as_object()
            .unwrap()
            .iter()
            .filter(|(field, value)| quiet[field.as_str()] == **value)
            .map(|(field, _)| field.as_str())
            .collect();
        // Those that have one value so far, and those that only kube-proxy's document has.
        let expected = [
            "bindAddressHardFail",
            "conntrack",
            "detectLocal",
            "localhostNodePorts",
            "oomScoreAdj",
            "selfProbe",
            "syncPeriod",
            "tc",
        ];
        assert_eq!(same, expected);
    }

    #[test]
    fn the_servers_have_addresses_of_the_family_of_bind_address() {
        let table: [(&str, Option<&str>, Option<&str>); 5] = [
            ("", Some("0.0.0.0:10256"), Some("127.0.0.1:10249")),
            ("bindAddress: '::'\n", Some("[::]:10256"), Some("[::1]:10249")),
            (
                "healthzBindAddress: ''\nmetricsBindAddress: ''\n",
                Some("0.0.0.0:10256"),
                Some("127.0.0.1:10249"),
            ),
            (
                "healthzBindAddress: 10.0.0.1\nmetricsBindAddress: 10.0.0.1:1\n",
                Some("10.0.0.1:10256"),
                Some("10.0.0.1:1"),
            ),
            ("healthzBindAddress: 0.0.0.0:0\nmetricsBindAddress: '0'\n", None, None),
        ];
        for (file, healthz, metrics) in table {
            let config = with_file(manifests(), format!("{KUBE_PROXY}{file}")).unwrap().config;
            let socket =
                |text: Option<&str>| -> Option<SocketAddr> { text.map(|text| text.parse().unwrap()) };
            assert_eq!(config.healthz_bind_address, socket(healthz), "{file}");
            assert_eq!(config.metrics_bind_address, socket(metrics), "{file}");
        }
        let flags = Layer { healthz: Some(Bind::Off), ..manifests() };
        assert_eq!(resolve(flags, None, &here()).unwrap().config.healthz_bind_address, None);
    }

    #[test]
    fn a_prefix_of_names_is_a_pattern_for_devices() {
        let file = format!(
            "{KUBE_PROXY}detectLocalMode: InterfaceNamePrefix\ndetectLocal: {{ interfaceNamePrefix: cali }}\n"
        );
        let config = with_file(manifests(), &file).unwrap().config;
        assert_eq!(config.pod_interfaces, ["cali*"]);
        let flags = Layer { pod_interfaces: Some(vec!["x".into()]), ..manifests() };
        assert_eq!(with_file(flags, &file).unwrap().config.pod_interfaces, ["x"]);
    }

    #[test]
    fn objects_have_to_come_from_somewhere() {
        let line = resolve(Layer::default(), None, &here()).unwrap_err().to_string();
        assert!(line.contains("--kubeconfig") && line.contains("--manifests"), "{line}");
        let in_cluster = Environment { in_cluster: true, ..here() };
        let source = resolve(Layer::default(), None, &in_cluster).unwrap().config.source;
        assert_eq!(source, Source::InCluster);
    }

    #[test]
    fn a_node_has_to_have_a_name() {
        let nameless = Environment { host_name: None, in_cluster: true };
        let line = resolve(Layer::default(), None, &nameless).unwrap_err().to_string();
        assert!(line.starts_with("--node-name: "), "{line}");
    }

    #[test]
    fn what_means_nothing_is_one_warning() {
        let file = format!("{KUBE_PROXY}enableProfiling: true\nipvs: {{ strictARP: true }}\n");
        let warnings = with_file(manifests(), file).unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].ends_with("ignored: enableProfiling, ipvs.strictARP"), "{}", warnings[0]);
    }

    /// Fields of either document, of different types.
    const NAMES: &[&str] =
        &["mode", "conntrack", "iptables", "healthzBindAddress", "clusterCIDR", "uplinks", "xdp", "x"];

    fn fields() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            "[a-z0-9:./-]{0,12}",
            Just("[a, b]".into()),
            Just("{ a: 1 }".into()),
            Just("-1".into())
        ];
        let field =
            (prop::sample::select(NAMES), value).prop_map(|(name, value)| format!("{name}: {value}\n"));
        let header = prop::sample::select(&[OWN, KUBE_PROXY][..]);
        (header, prop::collection::vec(field, 0..4))
            .prop_map(|(header, fields)| header.to_owned() + &fields.concat())
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            fields().prop_map(String::into_bytes),
        ]) {
            if let Err(error) = with_file(manifests(), bytes) {
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
            }
        }
    }
}
