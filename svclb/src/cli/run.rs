//! The flags of `svclb run`.

use std::path::PathBuf;

use clap::Args;
use svclb_common::config::SocketMode;

use super::DeviceArgs;
use crate::{
    agent::{self, RunError},
    config::{
        Algorithm, Bind, ClusterCidrs, ConfigError, DsrEncapsulation, Environment, ExternalMode, Layer,
        Masquerade, NodePortAddresses, PortRange, Rate, ServiceSeries, SocketLb, Source, TableSize, Tc,
        resolve,
    },
    ports,
};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// File with these settings: an svclb.io/v1alpha1 Config, or kube-proxy's own; flags come first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of this node [default: the lower-cased host name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
    /// How to reach the API server [default: as a pod of its cluster]
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    kubeconfig: Option<PathBuf>,
    /// Folder of Service, EndpointSlice and Node manifests to follow instead of an API server
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Folder for pins, on a BPF file system [default: /sys/fs/bpf/svclb]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Who answers clients outside when the backend is on another node: snat (this node), dsr (the backend's node),
    /// hybrid (dsr for TCP, snat for the rest) [default: snat]
    #[arg(long, value_name = "MODE")]
    external_mode: Option<ExternalMode>,
    /// What packets to a backend's node travel in: ipip, or gue where the network passes no IP in IP [default: ipip]
    #[arg(long, value_name = "MODE")]
    dsr_encapsulation: Option<DsrEncapsulation>,
    /// How backends are chosen where a Service does not say: random, round-robin, least-conn, maglev or source-hash
    /// [default: random]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Algorithm>,
    /// Slots of a Maglev table, a prime from 251 to 131071; the same on all nodes [default: 16381]
    #[arg(long, value_name = "N")]
    maglev_table_size: Option<TableSize>,
    /// Ranges of the pods of all nodes, at most one per family; what comes from a pod's device with another address
    /// counts as coming from outside
    #[arg(long, value_name = "CIDR[,CIDR]")]
    cluster_cidr: Option<ClusterCidrs>,
    /// Which addresses of the node answer at node ports: ranges, or `primary`; repeatable [default: all]
    #[arg(long = "nodeport-addresses", value_name = "CIDR|primary", value_delimiter = ',')]
    node_port_addresses: Vec<String>,
    /// Masquerade every client of a ClusterIP
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    masquerade_all: Option<bool>,
    /// Where clients get the node's address as their source: safe (only where their own would not lead answers back)
    /// or compat (where kube-proxy does it) [default: safe]
    #[arg(long, value_name = "MODE")]
    masquerade: Option<Masquerade>,
    /// Source ports of flows that get the node's address [default: 1024-29999]
    #[arg(long, value_name = "MIN-MAX")]
    snat_ports: Option<PortRange>,
    /// Let ClusterIPs answer to ICMP echo [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    vip_echo: Option<bool>,
    /// Send a packet and a call through a Service of the agent's own every 10 s, and tell what becomes of them
    /// [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    self_probe: Option<bool>,
    /// Where /healthz and /livez are; empty or port 0 is nowhere [default: 0.0.0.0:10256]
    #[arg(long, value_name = "ADDRESS:PORT")]
    healthz_bind_address: Option<Bind>,
    /// Where /metrics is; empty or port 0 is nowhere [default: 127.0.0.1:10249]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_bind_address: Option<Bind>,
    /// Which Service ports have series of metrics of their own: all, none, or so many of those that carry most; the others
    /// are one series together [default: 200]
    #[arg(long, value_name = "all|none|N")]
    metrics_service_series: Option<ServiceSeries>,
    /// How to attach to devices
    #[arg(long, value_name = "MODE", hide = true)]
    tc: Option<Tc>,
    /// Flow entries to have room for, per family; each flow takes two
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    max_flows: Option<u32>,
    /// New flows that a Service port takes in a second on this node, unless its Service says otherwise; 0 is any number
    /// [default: 0]
    #[arg(long, value_name = "N")]
    max_new_flows_per_second: Option<Rate>,
    /// Stop when the parent process does
    #[arg(long, hide = true)]
    die_with_parent: bool,
}

impl RunArgs {
    fn layer(self) -> Result<Layer, ConfigError> {
        if self.node_name.as_deref() == Some("") {
            return Err(ConfigError::Flag { flag: "--node-name", message: "must not be empty".into() });
        }
        let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let node_port_addresses = given(self.node_port_addresses)
            .map(|entries| NodePortAddresses::new(&entries))
            .transpose()
            .map_err(|message| ConfigError::Flag { flag: "--nodeport-addresses", message })?;
        let manifests = self.manifests.map(Source::Manifests);
        Ok(Layer {
            node_name: self.node_name,
            source: manifests.or(self.kubeconfig.map(Source::Kubeconfig)),
            bpffs: self.bpffs,
            cgroup: self.devices.cgroup,
            uplinks: given(self.devices.uplinks),
            pod_interfaces: given(self.devices.pod_interfaces),
            socket_lb: self.devices.socket_lb,
            tc: self.tc,
            max_flows: self.max_flows,
            max_new_flows: self.max_new_flows_per_second,
            xdp: self.devices.xdp,
            external_mode: self.external_mode,
            dsr_encapsulation: self.dsr_encapsulation,
            algorithm: self.algorithm,
            maglev_table_size: self.maglev_table_size,
            cluster_cidrs: self.cluster_cidr,
            node_port_addresses,
            masquerade_all: self.masquerade_all,
            masquerade: self.masquerade,
            snat_ports: self.snat_ports,
            vip_echo: self.vip_echo,
            self_probe: self.self_probe,
            healthz: self.healthz_bind_address,
            metrics: self.metrics_bind_address,
            service_series: self.metrics_service_series,
            ..Layer::default()
        })
    }
}

/// What the flags, and the file that they name, come to.
pub(super) fn settings(mut args: RunArgs) -> Result<agent::Settings, RunError> {
    if args.die_with_parent {
        agent::die_with_parent()?;
    }
    let path = args.config.take();
    let wrong = |error: ConfigError| RunError::Config(error.to_string());
    let layer = args.layer().map_err(wrong)?;
    let resolved = resolve(layer, path.as_deref(), &Environment::here()).map_err(wrong)?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = resolved.config;
    for overlap in ports::overlaps(config.snat_ports) {
        tracing::warn!("{overlap}");
    }
    let devices = super::devices(
        config.cgroup.clone(),
        resolved.socket_lb,
        config.uplinks.clone(),
        config.pod_interfaces.clone(),
        config.xdp,
    )?;
    if devices.socket_mode == SocketMode::Off {
        config.socket_lb = SocketLb::Off;
    }
    Ok(agent::Settings::new(config, resolved.file, devices))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use clap::Parser;

    use super::*;
    use crate::config::{Resolved, Xdp};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    fn resolved(flags: &[&str]) -> Result<Resolved, String> {
        let line = ["run", "--node-name=n"].iter().chain(flags);
        let args = Line::try_parse_from(line).map_err(|error| error.to_string())?.args;
        let environment = Environment { host_name: None, in_cluster: true };
        let layer = args.layer().map_err(|error| error.to_string())?;
        resolve(layer, None, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_has_its_effect() {
        let flags = [
            "--kubeconfig=/k",
            "--bpffs=/b",
            "--cgroup=/c",
            "--uplink=e1",
            "--uplink=e2",
            "--pod-interface=p*",
            "--socket-lb=host",
            "--xdp=off",
            "--external-mode=snat",
            "--algorithm=round-robin",
            "--maglev-table-size=1021",
            "--cluster-cidr=10.0.0.0/8,fd00::/8",
            "--nodeport-addresses=10.0.0.0/8",
            "--nodeport-addresses=fd00::/8,11.0.0.0/8",
            "--masquerade-all",
            "--masquerade=compat",
            "--snat-ports=2000-3000",
            "--vip-echo",
            "--self-probe=false",
            "--healthz-bind-address=:1",
            "--metrics-bind-address=",
            "--metrics-service-series=7",
            "--tc=tcx",
            "--max-flows=32",
            "--max-new-flows-per-second=500",
        ];
        let config = resolved(&flags).unwrap().config;
        assert_eq!(config.source, Source::Kubeconfig("/k".into()));
        assert_eq!((config.bpffs, config.cgroup), ("/b".into(), Some("/c".into())));
        assert_eq!(
            (config.uplinks.join(" "), config.pod_interfaces.join(" ")),
            ("e1 e2".into(), "p*".into())
        );
        assert_eq!((config.socket_lb, config.xdp, config.tc), (SocketLb::Host, Xdp::Off, Tc::Tcx));
        assert_eq!(
            (config.algorithm, config.maglev_table_size),
            (Algorithm::RoundRobin, TableSize::try_from(1021).unwrap())
        );
        assert_eq!(config.cluster_cidrs, "10.0.0.0/8,fd00::/8".parse().unwrap());
        let ranges = ["10.0.0.0/8", "fd00::/8", "11.0.0.0/8"].map(String::from);
        assert_eq!(config.node_port_addresses, NodePortAddresses::new(&ranges).unwrap());
        assert_eq!((config.masquerade_all, config.vip_echo, config.max_flows), (true, true, Some(32)));
        assert!(!config.self_probe);
        assert_eq!(config.max_new_flows_per_second, Rate::try_from(500).unwrap());
        assert_eq!(config.masquerade, Masquerade::Compat);
        assert_eq!(config.snat_ports, PortRange { min: 2000, max: 3000 });
        assert_eq!(config.healthz_bind_address, Some(SocketAddr::from(([0_u16; 8], 1))));
        assert_eq!(
            (config.metrics_bind_address, config.metrics_service_series),
            (None, ServiceSeries::Most(7))
        );
        assert!(!resolved(&["--masquerade-all=false"]).unwrap().config.masquerade_all);
    }

    #[test]
    fn a_wrong_flag_is_named() {
        let table = [
            ("--xdp=x", "is unknown; use auto or native or generic or off"),
            ("--external-mode=x", "is unknown; use snat or dsr or hybrid"),
            ("--masquerade=all", "is unknown; use safe or compat"),
            ("--snat-ports=9-8", "ends before it begins"),
            ("--algorithm=rr", "use random or round-robin or least-conn or maglev or source-hash"),
            ("--maglev-table-size=1000", "1000 is not prime; use 1009"),
            ("--max-new-flows-per-second=-1", "is not a number from 0 to 1048575"),
            ("--socket-lb=x", "is unknown; use all or host or off"),
            ("--cluster-cidr=10.0.0.0", "is no range"),
            ("--nodeport-addresses=primary,::/0", "stands alone"),
            ("--healthz-bind-address=x", "is no address with a port"),
            ("--metrics-bind-address=x:1", "is no address with a port"),
            ("--metrics-service-series=few", "is unknown; use all or none or a number"),
            ("--node-name=", "must not be empty"),
        ];
        for (flag, expected) in table {
            let args: Vec<_> = if flag == "--node-name=" { vec![] } else { vec![flag] };
            let message = if args.is_empty() {
                let args = Line::try_parse_from(["run", flag]).unwrap().args;
                args.layer().unwrap_err().to_string()
            } else {
                resolved(&args).unwrap_err()
            };
            let name = flag.split('=').next().unwrap();
            assert!(message.contains(name) && message.contains(expected), "{flag}: {message}");
        }
        assert!(resolved(&["--kubeconfig=/k", "--manifests=/m"]).is_err());
    }
}
