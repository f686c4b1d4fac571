//! Who makes Services answer, and how each is started.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::target::{CLUSTER_CIDR, PODS};
use crate::control_plane::shape::NODE;

/// A proxy, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proxy {
    /// None: nothing on the node but routes.
    Bare,
    /// svclb, with `--socket-lb=all`.
    Sockets,
    /// svclb, with `--socket-lb=off`.
    Packets,
    /// kube-proxy, in the mode of that name.
    Iptables,
    /// kube-proxy, in the mode of that name.
    Nftables,
}

impl Proxy {
    /// All.
    pub const ALL: [Self; 5] = [Self::Bare, Self::Sockets, Self::Packets, Self::Iptables, Self::Nftables];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "none",
            Self::Sockets => "svclb, at sockets",
            Self::Packets => "svclb, per packet",
            Self::Iptables => "kube-proxy, iptables",
            Self::Nftables => "kube-proxy, nftables",
        }
    }

    /// Whether it is a mode of kube-proxy.
    pub fn is_kube_proxy(self) -> bool {
        self.mode().is_some()
    }

    fn mode(self) -> Option<&'static str> {
        match self {
            Self::Iptables => Some("iptables"),
            Self::Nftables => Some("nftables"),
            _ => None,
        }
    }
}

/// The programs that are measured.
#[derive(Clone, Debug)]
pub struct Programs {
    /// svclb.
    pub agent: PathBuf,
    /// kube-proxy, if that is measured as well.
    pub kube_proxy: Option<PathBuf>,
}

impl Programs {
    /// The proxies that these programs are.
    pub fn proxies(&self) -> impl Iterator<Item = Proxy> {
        Proxy::ALL.into_iter().filter(|proxy| !proxy.is_kube_proxy() || self.kube_proxy.is_some())
    }

    /// The command of a proxy; none has none. `folder` may be written to.
    pub(super) fn command(
        &self,
        proxy: Proxy,
        folder: &Path,
        cgroup: &Path,
    ) -> anyhow::Result<Option<Vec<String>>> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let kubeconfig = folder.join("kubeconfig");
        if let Some(mode) = proxy.mode() {
            let file = folder.join("kube-proxy.yaml");
            fs::write(&file, configuration(mode, &kubeconfig))?;
            let program = self.kube_proxy.as_deref().map(text);
            return Ok(program.map(|program| vec![program, "--config".into(), text(&file)]));
        }
        let hooks = match proxy {
            Proxy::Sockets => "--socket-lb=all",
            Proxy::Packets => "--socket-lb=off",
            _ => return Ok(None),
        };
        let mut command = vec![text(&self.agent)];
        command.extend(["run", "--node-name", NODE, "--uplink", "eth0"].map(String::from));
        command.extend(PODS.iter().map(|pod| format!("--pod-interface=veth-{}", pod.name)));
        command.extend([hooks, "--cluster-cidr", CLUSTER_CIDR, "--kubeconfig"].map(String::from));
        command.extend([text(&kubeconfig), "--bpffs".into(), text(&folder.join("bpffs"))]);
        command.extend(["--cgroup".into(), text(cgroup)]);
        Ok(Some(command))
    }
}

/// kube-proxy's document, with the defaults of kubeadm but for: JSON, the only thing that the API server of the tests
/// speaks; no change of conntrack's size, which is not the namespace's own; no full sync while others are measured.
fn configuration(mode: &str, kubeconfig: &Path) -> String {
    let kubeconfig = kubeconfig.display();
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
         kind: KubeProxyConfiguration\n\
         mode: {mode}\n\
         hostnameOverride: {NODE}\n\
         clusterCIDR: {CLUSTER_CIDR}\n\
         detectLocalMode: ClusterCIDR\n\
         clientConnection:\n\
         \x20 kubeconfig: {kubeconfig}\n\
         \x20 contentType: application/json\n\
         \x20 acceptContentTypes: application/json\n\
         conntrack: {{ maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }}\n\
         iptables: {{ syncPeriod: 1h }}\n\
         nftables: {{ syncPeriod: 1h }}\n\
         healthzBindAddress: 127.0.0.1:10256\n\
         metricsBindAddress: 127.0.0.1:10249\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_proxy_is_measured_if_it_is_there() {
        let count = |kube_proxy: Option<&str>| {
            let programs = Programs { agent: "svclb".into(), kube_proxy: kube_proxy.map(PathBuf::from) };
            programs.proxies().count()
        };
        assert_eq!((count(None), count(Some("kube-proxy"))), (3, 5));
    }

    #[test]
    fn each_proxy_has_a_command_and_none_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs { agent: "svclb".into(), kube_proxy: Some("kube-proxy".into()) };
        for proxy in Proxy::ALL {
            let command = programs.command(proxy, folder.path(), Path::new("/group")).unwrap();
            let expected = match proxy {
                Proxy::Bare => None,
                _ if proxy.is_kube_proxy() => Some("kube-proxy"),
                _ => Some("svclb"),
            };
            assert_eq!(command.as_ref().map(|command| command[0].as_str()), expected, "{proxy:?}");
        }
        let text = fs::read_to_string(folder.path().join("kube-proxy.yaml")).unwrap();
        let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(document["mode"], "nftables");
        assert_eq!(document["clientConnection"]["contentType"], "application/json");
    }
}
