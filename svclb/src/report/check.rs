//! `svclb check`: whether this host can run svclb, and what each device would use.

use std::{collections::BTreeSet, fs, process::ExitCode};

use serde::Serialize;
use svclb_common::encap::Encapsulation;

use super::{Output, migration, table};
use crate::{
    agent::Devices,
    config::PortRange,
    datapath::{hooks, loader, pins::Pins, probe, xdp::attached_xdp},
    netdev::{self, Network, Role, room},
    netfilter::rules,
    ports, takeover,
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    what: String,
    /// `ok`, `note` or `missing`; with `missing`, `svclb run` would not work. Of a change of proxies: `taken`, `ignored`,
    /// `differs`, `conflict`, `step`.
    result: &'static str,
    detail: String,
}

pub(super) fn finding(what: impl Into<String>, result: &'static str, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), result, detail: detail.into() }
}

/// Looks at everything that `run` needs with these devices and source ports, and prints what it found.
pub async fn check(
    pins: &Pins,
    devices: &Devices,
    ports: PortRange,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut findings = vec![privileges()];
    findings.extend(kernel());
    findings.push(match pins.on_bpffs() {
        Ok(()) => finding("pins", "ok", pins.root().display().to_string()),
        Err(error) => finding("pins", "missing", error.to_string()),
    });
    findings.push(match &devices.cgroup {
        Some(path) => finding("cgroup", "ok", format!("socket hooks at {}", path.display())),
        None => finding("cgroup", "note", "no socket hooks: host processes are translated per packet"),
    });
    findings.extend(forwarding());
    findings.extend(snat_ports(ports));
    findings.extend(kube_proxy());
    match netdev::watch().await {
        Ok(network) => {
            let network = network.borrow();
            findings.extend(interfaces(devices, &network));
            findings.extend(xdp(devices, &network, &attached_xdp(pins)));
            findings.extend(foreign(pins, devices, &network));
            findings.extend(migration::differences_here(&network));
        }
        Err(error) => findings.push(finding("network", "missing", error.to_string())),
    }
    print(&findings, output)?;
    let works = findings.iter().all(|finding| finding.result != "missing");
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what was found.
pub(super) fn print(findings: &[Finding], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
        Output::Table => {
            let row = |f: &Finding| vec![f.result.to_owned(), f.what.clone(), f.detail.clone()];
            table::print(&["RESULT", "WHAT", "DETAIL"], &findings.iter().map(row).collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn privileges() -> Finding {
    if nix::unistd::geteuid().is_root() {
        finding("privileges", "ok", "root")
    } else {
        finding("privileges", "missing", "svclb run needs root")
    }
}

fn kernel() -> Vec<Finding> {
    let mut findings = vec![finding("kernel", "ok", probe::version())];
    findings.extend(probe::required().into_iter().map(|found| {
        let detail = format!("since Linux {}", found.since);
        finding(found.what, if found.present { "ok" } else { "missing" }, detail)
    }));
    findings.push(if probe::has_tcx() {
        finding("attachment", "ok", "TCX links, replaced without a gap")
    } else {
        finding("attachment", "note", "clsact filters: this kernel has no TCX (Linux 6.6)")
    });
    findings.push(match loader::verify_xdp() {
        Ok(name) => finding("XDP program", "ok", format!("the verifier accepts {name}")),
        Err(error) => {
            finding("XDP program", "note", format!("{error}: packets are taken by the TC programs"))
        }
    });
    findings.push(match loader::verify() {
        Ok(programs) => finding("programs", "ok", format!("the verifier accepts all {programs}")),
        Err(error) => finding("programs", "missing", error.to_string()),
    });
    findings
}

/// Rules that another proxy has left behind.
fn kube_proxy() -> Vec<Finding> {
    // Kernels without nftables have none of those.
    let found = rules::leftovers().unwrap_or_default();
    let detail = |kind| {
        format!("its {kind} rules are there: connections that they have set up go on; {}", takeover::REMOVE)
    };
    found.into_iter().map(|kind| finding("kube-proxy", "note", detail(kind))).collect()
}

/// Traffic between devices needs a host that forwards.
fn forwarding() -> Vec<Finding> {
    let sysctls = [("IPv4", "net/ipv4/ip_forward"), ("IPv6", "net/ipv6/conf/all/forwarding")];
    sysctls
        .into_iter()
        .map(|(family, path)| {
            let what = format!("forwarding {family}");
            match fs::read_to_string(format!("/proc/sys/{path}")) {
                Ok(value) if value.trim() != "0" => finding(what, "ok", ""),
                Ok(_) => finding(
                    what,
                    "note",
                    format!(
                        "{} is 0: pods and outside clients reach no pod of another device",
                        path.replace('/', ".")
                    ),
                ),
                Err(_) => finding(what, "note", "the kernel has no such family"),
            }
        })
        .collect()
}

/// A connection of the host's own from a port for source translation could own the very
/// tuple that a translated one is given.
fn snat_ports(range: PortRange) -> Vec<Finding> {
    let what = "ports for source translation";
    let overlaps = ports::overlaps(range);
    if overlaps.is_empty() {
        return vec![finding(what, "ok", format!("{range}, apart from node ports and ip_local_port_range"))];
    }
    overlaps.into_iter().map(|overlap| finding(what, "note", overlap)).collect()
}

/// What each uplink would use in front of the stack.
fn xdp(devices: &Devices, network: &Network, ours: &BTreeSet<u32>) -> Vec<Finding> {
    let decisions = devices.xdp(network, ours).into_iter();
    decisions
        .filter_map(|(index, decision)| {
            let what = format!("xdp {}", network.links.get(&index)?.name);
            Some(match decision {
                Ok(hook) => finding(what, "ok", hook.to_string()),
                Err(reason) => finding(what, "note", format!("off: {reason}")),
            })
        })
        .collect()
}

/// Programs of others that see a device's packets before svclb's would.
fn foreign(pins: &Pins, devices: &Devices, network: &Network) -> Vec<Finding> {
    let known = devices.roles(network).devices;
    let links = known.keys().filter_map(|index| network.links.get(index));
    let each = links.flat_map(|link| {
        let name = link.name.clone();
        hooks::in_front(pins, network, link.index).into_iter().map(move |other| {
            let detail = format!(
                "{other} sees packets before svclb's, and may drop them: bpftool net show tells whose it is"
            );
            finding(format!("device {name}"), "note", detail)
        })
    });
    each.collect()
}

fn interfaces(devices: &Devices, network: &Network) -> Vec<Finding> {
    let roles = devices.roles(network);
    let name =
        |index: &u32| network.links.get(index).map_or_else(|| index.to_string(), |link| link.name.clone());
    let mut findings = Vec::new();
    for (index, role) in &roles.devices {
        let detail = match role {
            Role::Pod => "leads to a pod: programs on both sides".to_owned(),
            Role::Uplink => {
                let way = "leads to other nodes and the outside: programs on both sides";
                let carries = network.links.get(index).map(|link| room(link, Encapsulation::Ip));
                let [v4, v6] = carries.unwrap_or_default();
                format!(
                    "{way}; direct server return carries packets of {v4} bytes (IPv4) and {v6} bytes (IPv6)"
                )
            }
        };
        findings.push(finding(format!("device {}", name(index)), "ok", detail));
    }
    for (index, reason) in &roles.left_out {
        findings.push(finding(format!("device {}", name(index)), "note", format!("left alone: {reason}")));
    }
    for missing in &roles.missing {
        findings.push(finding(format!("device {missing}"), "missing", "named by --uplink, and not there"));
    }
    if !roles.devices.values().any(|role| *role == Role::Uplink) {
        findings.push(finding(
            "uplink",
            "note",
            "no default route: name one with --uplink to serve the outside",
        ));
    }
    findings
}
