//! `svclb check --from-kube-proxy`: what changes on this node when svclb takes kube-proxy's place.

mod modes;

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use super::{
    Output,
    check::{Finding, finding, print},
};
use crate::{
    config::{NodePortAddresses, Survey, survey},
    netdev::Network,
    netfilter::{
        ipvs,
        rules::{self, Leftover},
    },
};

/// Where kubeadm's `DaemonSet`, and other installers, have kube-proxy's file.
const USUAL: [&str; 3] = [
    "/var/lib/kube-proxy/config.conf",
    "/var/lib/kube-proxy/kube-proxy-config.yaml",
    "/var/lib/kube-proxy-config/config.yaml",
];
/// How to get at it where it is not a file of the host.
const FETCH: &str =
    "kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}' > kube-proxy.yaml";
/// The device that mode ipvs puts addresses of Services on.
const DUMMY: &str = "kube-ipvs0";

/// What kube-proxy left on this node, or does right now.
pub(super) struct Traces {
    rules: Vec<Leftover>,
    legacy: Option<String>,
    servers: Vec<ipvs::VirtualServer>,
    has_dummy: bool,
    process: Option<u32>,
}

impl Traces {
    /// Looks for it.
    pub(super) fn find(network: &Network) -> Self {
        Self {
            // Kernels without nftables have none of those.
            rules: rules::leftovers().unwrap_or_default(),
            legacy: legacy(),
            servers: ipvs::servers(),
            has_dummy: network.links.values().any(|link| link.name == DUMMY),
            process: process(),
        }
    }

    /// The mode that is in use here, as far as that can be told.
    pub(super) fn mode(&self) -> Option<&'static str> {
        if !self.servers.is_empty() || self.has_dummy {
            return Some("ipvs");
        }
        match self.rules.first() {
            Some(Leftover::Nftables) => Some("nftables"),
            Some(Leftover::Iptables) => Some("iptables"),
            None => self.legacy.as_ref().map(|_| "iptables"),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.push(match self.process {
            Some(pid) => finding("kube-proxy", "note", format!("runs as process {pid}")),
            None => finding("kube-proxy", "note", "does not run, or is not to be seen from here"),
        });
        for kind in &self.rules {
            findings.push(finding("rules", "note", format!("kube-proxy's {kind} rules are there")));
        }
        findings.extend(self.legacy.iter().map(|detail| finding("rules", "note", detail.clone())));
        if !self.servers.is_empty() {
            let mut schedulers: BTreeMap<&str, usize> = BTreeMap::new();
            for server in &self.servers {
                *schedulers.entry(&server.scheduler).or_default() += 1;
            }
            for (scheduler, count) in schedulers {
                let detail =
                    format!("{count} virtual servers choose by {scheduler}: {}", algorithm(scheduler));
                findings.push(finding("ipvs", "differs", detail));
            }
        }
        if self.has_dummy {
            let detail = format!(
                "the device {DUMMY} has addresses of Services, which makes them the node's own; \
                 kube-proxy --cleanup removes it"
            );
            findings.push(finding("ipvs", "step", detail));
        }
        let arp = |name: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/all/{name}");
            fs::read_to_string(path).is_ok_and(|found| found.trim() == value)
        };
        if self.mode() == Some("ipvs") && arp("arp_ignore", "1") && arp("arp_announce", "2") {
            let detail = "net.ipv4.conf.all.arp_ignore and arp_announce are as strictARP sets them; svclb has no \
                          addresses on devices and needs neither: reset them unless MetalLB or others rely on them";
            findings.push(finding("strictARP", "note", detail));
        }
        findings
    }
}

/// Prints what changes; `file` is kube-proxy's own configuration.
pub async fn migration(file: Option<PathBuf>, output: Output) -> anyhow::Result<ExitCode> {
    let network = crate::netdev::watch().await?.borrow().clone();
    let traces = Traces::find(&network);
    let mut findings = traces.findings();
    let file = file.or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.is_file()));
    let surveyed = file.as_deref().map(survey).transpose()?;
    let mode = surveyed.as_ref().map(|it| it.mode.clone()).or_else(|| traces.mode().map(str::to_owned));
    match (&file, &surveyed) {
        (Some(path), Some(surveyed)) => findings.extend(settings(path, surveyed)),
        _ => findings.push(finding(
            "configuration",
            "note",
            format!("no file of kube-proxy is found: name it with --kube-proxy-config; {FETCH}"),
        )),
    }
    match mode.as_deref() {
        Some(mode) => findings.extend(modes::differences(mode)),
        None => {
            findings.push(finding("mode", "note", "nothing of kube-proxy is found here, so nothing changes"));
        }
    }
    findings.extend(ports(surveyed.as_ref()));
    findings.extend(steps(&traces, mode.as_deref(), file.as_deref()));
    print(&findings, output)?;
    Ok(ExitCode::SUCCESS)
}

/// What is taken over of the file, and what is not.
fn settings(path: &Path, surveyed: &Survey) -> Vec<Finding> {
    let mut findings =
        vec![finding("configuration", "note", format!("{}, mode {}", path.display(), surveyed.mode))];
    for setting in &surveyed.settings {
        let (result, meaning) = if setting.is_obeyed {
            ("taken", String::new())
        } else {
            ("ignored", format!(": {}", modes::why_ignored(&setting.field, &setting.value)))
        };
        findings.push(finding(&*setting.field, result, format!("{}{meaning}", setting.value)));
    }
    let config = &surveyed.config;
    if config.node_port_addresses == NodePortAddresses::All && surveyed.mode == "nftables" {
        findings.push(finding(
            "nodePortAddresses",
            "differs",
            "all addresses, where mode nftables has the primary ones",
        ));
    }
    if config.masquerade_all {
        findings.push(finding("masqueradeAll", "taken", "all clients of ClusterIPs get the node's address"));
    }
    findings
}

/// Whether the ports for health and metrics are free.
fn ports(surveyed: Option<&Survey>) -> Vec<Finding> {
    let default = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let (healthz, metrics) = surveyed.map_or((default(10256), default(10249)), |it| {
        (it.config.healthz_bind_address, it.config.metrics_bind_address)
    });
    let addresses = [("healthzBindAddress", healthz), ("metricsBindAddress", metrics)];
    addresses
        .into_iter()
        .filter_map(|(name, address)| {
            let address = address?;
            Some(match TcpListener::bind(address) {
                Ok(_) => finding(name, "ok", format!("{address} is free")),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => finding(
                    name,
                    "conflict",
                    format!(
                        "{address} is in use, by kube-proxy if it runs: svclb tries it every 5 s until it is \
                         free, and serves Services meanwhile"
                    ),
                ),
                Err(error) => finding(name, "note", format!("{address}: {error}")),
            })
        })
        .collect()
}

/// The order of steps.
fn steps(traces: &Traces, mode: Option<&str>, file: Option<&Path>) -> Vec<Finding> {
    let config =
        file.map_or("--config kube-proxy.yaml".to_owned(), |path| format!("--config {}", path.display()));
    let mut steps = vec![
        "svclb check: everything that says missing keeps the agent from running".to_owned(),
        format!("stop kube-proxy on this node (its DaemonSet's nodeSelector), then start svclb run {config}"),
        "svclb status --wait-synced 1m, then svclb status: HEALTHY".to_owned(),
    ];
    if !traces.rules.is_empty() || traces.legacy.is_some() || mode == Some("ipvs") {
        steps.push("kube-proxy --cleanup: connections that its rules have set up go on".to_owned());
    }
    steps.push(
        "the way back, while kube-proxy runs again and svclb does not: svclb cleanup --handover".to_owned(),
    );
    steps.push(format!("docs/migrate.md, docs/migrate-{}.md say why", mode.unwrap_or("iptables")));
    let numbered = steps.into_iter().enumerate();
    numbered.map(|(number, step)| finding(format!("step {}", number + 1), "step", step)).collect()
}

/// What svclb has for a scheduler of IPVS.
fn algorithm(scheduler: &str) -> &'static str {
    match scheduler {
        "rr" => "algorithm: round-robin does the same",
        "wrr" => "algorithm: round-robin does the same; kube-proxy gives all servers one weight",
        "lc" | "wlc" => "algorithm: least-conn does the same, by this node's connections as IPVS does",
        "sh" => "algorithm: source-hash does the same, over other places",
        "mh" => "algorithm: maglev does the same, over other places",
        _ => "svclb has nothing like it; the default is random",
    }
}

/// Rules of `iptables-legacy`, which nftables does not list.
fn legacy() -> Option<String> {
    let tables = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];
    let has_nat =
        |path: &&str| fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line == "nat"));
    if !tables.iter().any(has_nat) {
        return None;
    }
    match Command::new("iptables-legacy-save").args(["-t", "nat"]).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout)
            .contains("KUBE-SERVICES")
            .then(|| "kube-proxy's rules of iptables-legacy are there".to_owned()),
        Err(_) => Some("there are tables of iptables-legacy: iptables-legacy-save | grep KUBE- says whether kube-proxy's \
             are in them".to_owned()),
    }
}

/// The process of kube-proxy, if it is in sight.
fn process() -> Option<u32> {
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        (name.trim() == "kube-proxy").then_some(pid)
    })
}

/// What behaves differently from the mode that is in use here.
pub(super) fn differences_here(network: &Network) -> Vec<Finding> {
    Traces::find(network).mode().map(modes::differences).unwrap_or_default()
}
