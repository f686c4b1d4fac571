//! Rules such as kube-proxy's, in its modes iptables and nftables: what another proxy leaves in the kernel.

use std::{fmt::Write as _, fs, net::IpAddr};

use anyhow::ensure;

use super::{
    client::Place,
    layout::{Family, Frontend, Machine, POD_PORT, SERVICE_PORT, node_port},
    world::World,
};

/// How the rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Chains of the table `nat`, and some in `filter`.
    Iptables,
    /// A table of their own, with verdict maps.
    Nftables,
}

/// The pods' range of each family.
const PODS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// A Service that has one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number.
    pub service: u8,
    /// Where it leads.
    pub pod: Machine,
}

const PROTOCOLS: [&str; 2] = ["tcp", "udp"];

impl World {
    /// Puts rules on the first node, in both families, for the cluster addresses and the node ports of TCP and UDP.
    pub fn put_rules(&self, mode: Mode, rules: &[Rule]) -> anyhow::Result<()> {
        for family in Family::ALL {
            let (text, command): (_, &[&str]) = match (mode, family) {
                (Mode::Nftables, _) => (nftables(family, rules)?, &["nft", "-f"]),
                (Mode::Iptables, Family::V4) => (iptables(family, rules)?, &["iptables-restore"]),
                (Mode::Iptables, Family::V6) => (iptables(family, rules)?, &["ip6tables-restore"]),
            };
            let file = self.path("rules");
            fs::write(&file, text)?;
            self.must_run(command, &[&file.to_string_lossy()])?;
        }
        Ok(())
    }

    /// Takes the rules away, and with them the last chains of NAT that anybody but svclb has.
    pub fn remove_rules(&self, mode: Mode) -> anyhow::Result<()> {
        let tables: &[&str] = match mode {
            Mode::Nftables => &["kube-proxy"],
            Mode::Iptables => &["nat", "filter"],
        };
        for family in ["ip", "ip6"] {
            for table in tables {
                self.must_run(&["nft", "delete", "table", family], &[table])?;
            }
        }
        Ok(())
    }

    /// Runs a command on the first node that is to succeed, and gives what it prints.
    pub fn must_run(&self, command: &[&str], more: &[&str]) -> anyhow::Result<String> {
        let arguments: Vec<_> = command[1..].iter().chain(more).copied().collect();
        let output = self.run(Place::Host, command[0], &arguments)?;
        ensure!(output.status.success(), "{command:?} {more:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn to(family: Family, addr: IpAddr, port: u16) -> String {
    match family {
        Family::V4 => format!("{addr}:{port}"),
        Family::V6 => format!("[{addr}]:{port}"),
    }
}

fn iptables(family: Family, rules: &[Rule]) -> Result<String, std::fmt::Error> {
    let pods = PODS[family as usize];
    let mut text = String::from("*nat\n");
    for chain in ["SERVICES", "NODEPORTS", "POSTROUTING", "MARK-MASQ"] {
        writeln!(text, ":KUBE-{chain} - [0:0]")?;
    }
    for rule in rules {
        for name in PROTOCOLS.map(|protocol| format!("{protocol}-{}", rule.service)) {
            writeln!(text, ":KUBE-SVC-{name} - [0:0]\n:KUBE-EXT-{name} - [0:0]\n:KUBE-SEP-{name} - [0:0]")?;
        }
    }
    text.push_str(
        "-A PREROUTING -m comment --comment \"service portals\" -j KUBE-SERVICES\n\
         -A OUTPUT -m comment --comment \"service portals\" -j KUBE-SERVICES\n\
         -A POSTROUTING -j KUBE-POSTROUTING\n\
         -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n\
         -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
         -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n\
         -A KUBE-POSTROUTING -j MASQUERADE --random-fully\n",
    );
    for Rule { service, pod } in rules {
        let (vip, pod) = (Frontend::ClusterIp.of(*service, family).ip(), pod.address(family));
        for protocol in PROTOCOLS {
            let name = format!("{protocol}-{service}");
            let port = format!("-p {protocol} -m {protocol} --dport");
            writeln!(text, "-A KUBE-SERVICES -d {vip} {port} {SERVICE_PORT} -j KUBE-SVC-{name}")?;
            writeln!(text, "-A KUBE-NODEPORTS {port} {} -j KUBE-EXT-{name}", node_port(*service))?;
            writeln!(text, "-A KUBE-EXT-{name} -j KUBE-MARK-MASQ\n-A KUBE-EXT-{name} -j KUBE-SVC-{name}")?;
            writeln!(
                text,
                "-A KUBE-SVC-{name} ! -s {pods} -d {vip} {port} {SERVICE_PORT} -j KUBE-MARK-MASQ"
            )?;
            writeln!(
                text,
                "-A KUBE-SVC-{name} -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-{name}"
            )?;
            writeln!(text, "-A KUBE-SVC-{name} -j KUBE-SEP-{name}")?;
            writeln!(text, "-A KUBE-SEP-{name} -s {pod} -j KUBE-MARK-MASQ")?;
            writeln!(
                text,
                "-A KUBE-SEP-{name} -p {protocol} -m {protocol} -j DNAT --to-destination {}",
                to(family, pod, POD_PORT)
            )?;
        }
    }
    text.push_str(
        "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n\
         COMMIT\n\
         *filter\n\
         :KUBE-FORWARD - [0:0]\n\
         -A FORWARD -j KUBE-FORWARD\n\
         -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\n\
         -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         COMMIT\n",
    );
    Ok(text)
}

fn nftables(family: Family, rules: &[Rule]) -> Result<String, std::fmt::Error> {
    let (ip, kind) = match family {
        Family::V4 => ("ip", "ipv4_addr"),
        Family::V6 => ("ip6", "ipv6_addr"),
    };
    let pods = PODS[family as usize];
    let (mut services, mut ports, mut chains) = (Vec::new(), Vec::new(), String::new());
    for Rule { service, pod } in rules {
        let (vip, pod) = (Frontend::ClusterIp.of(*service, family).ip(), pod.address(family));
        for protocol in PROTOCOLS {
            let name = format!("{protocol}-{service}");
            services.push(format!("{vip} . {protocol} . {SERVICE_PORT} : goto service-{name}"));
            ports.push(format!("{protocol} . {} : goto external-{name}", node_port(*service)));
            write!(
                chains,
                " chain endpoint-{name} {{
  {ip} saddr {pod} jump mark-for-masquerade
  meta l4proto {protocol} dnat to {backend}
 }}
 chain service-{name} {{
  {ip} daddr {vip} {protocol} dport {SERVICE_PORT} {ip} saddr != {pods} jump mark-for-masquerade
  numgen random mod 2 vmap {{ 0 : goto endpoint-{name}, 1 : goto endpoint-{name} }}
 }}
 chain external-{name} {{
  jump mark-for-masquerade
  goto service-{name}
 }}
",
                backend = to(family, pod, POD_PORT),
            )?;
        }
    }
    let key = format!("{ip} daddr . meta l4proto . th dport");
    Ok(format!(
        "table {ip} kube-proxy {{
 chain mark-for-masquerade {{
  meta mark set meta mark or 0x4000
 }}
 chain masquerading {{
  meta mark and 0x4000 == 0 return
  meta mark set meta mark xor 0x4000
  masquerade fully-random
 }}
{chains} map service-ips {{
  type {kind} . inet_proto . inet_service : verdict
  elements = {{ {services} }}
 }}
 map service-nodeports {{
  type inet_proto . inet_service : verdict
  elements = {{ {ports} }}
 }}
 chain services {{
  {key} vmap @service-ips
  fib daddr type local meta l4proto . th dport vmap @service-nodeports
 }}
 chain filter-forward {{
  type filter hook forward priority -110; policy accept;
  ct state invalid drop
 }}
 chain nat-prerouting {{
  type nat hook prerouting priority dstnat; policy accept;
  jump services
 }}
 chain nat-output {{
  type nat hook output priority -100; policy accept;
  jump services
 }}
 chain nat-postrouting {{
  type nat hook postrouting priority srcnat; policy accept;
  jump masquerading
 }}
}}
",
        services = services.join(", "),
        ports = ports.join(", "),
    ))
}
