//! Devices, addresses and routes, made by `ip`.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::{
    layout::{
        CLIENT, Machine, NODE1, NODE2, PLUGGED, PODS, POINT, ROUTER, UPLINK, WIRE, gateway, node_of, number,
    },
    namespace::Namespace,
    world::{Namespaces, PodNetwork},
};

/// Settings of every namespace. Hosts differ in what they hand down, and duplicate
/// address detection would hold up each IPv6 address for a second.
const EVERYWHERE: [(&str, &str); 6] = [
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];

/// Settings of nodes. The reverse path filter is strict: svclb must not need it loosened.
const NODE: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
];

/// The bridge that pods share.
const POD_BRIDGE: &str = "cni0";

/// Runs a script of `ip` inside.
pub(crate) fn ip(namespace: &Namespace, script: &str) -> anyhow::Result<()> {
    let input = script.to_owned();
    let output = namespace.run(move || {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    })?;
    let output = output.context("ip")?;
    let name = namespace.name();
    ensure!(output.status.success(), "ip in {name}: {}\n{script}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Connects everything.
pub(super) fn build(namespaces: &Namespaces, network: PodNetwork) -> anyhow::Result<()> {
    namespaces.values().try_for_each(settle)?;
    for node in [NODE1, NODE2] {
        namespaces[node.name].sysctl(&NODE)?;
    }
    wire(namespaces)?;
    for machine in PLUGGED {
        plugged(&namespaces[machine.name], &machine)?;
    }
    client(&namespaces[CLIENT.name])?;
    for (node, other) in [(NODE1, NODE2), (NODE2, NODE1)] {
        self::node(namespaces, network, &node, &other)?;
    }
    for pod in &PODS {
        self::pod(&namespaces[pod.name], network, pod)?;
    }
    Ok(())
}

/// Settings of every namespace.
pub(super) fn settle(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.sysctl(&EVERYWHERE)
}

fn wire(namespaces: &Namespaces) -> anyhow::Result<()> {
    let mut script = String::from("link set lo up\nlink add wire type bridge\nlink set wire up\n");
    addresses(&mut script, "wire", &ROUTER, [24, 64])?;
    for machine in PLUGGED {
        let (name, tid) = (machine.name, namespaces[machine.name].tid());
        writeln!(script, "link add to-{name} type veth peer name {UPLINK} netns {tid}")?;
        writeln!(script, "link set to-{name} master wire up")?;
    }
    ip(&namespaces[WIRE], &script)
}

fn plugged(namespace: &Namespace, machine: &Machine) -> anyhow::Result<()> {
    let mut script = format!("link set lo up\nlink set {UPLINK} up\n");
    addresses(&mut script, UPLINK, machine, [24, 64])?;
    default_route(&mut script, &ROUTER)?;
    ip(namespace, &script)
}

/// A real network's routers would send the addresses of Services to some node.
fn client(namespace: &Namespace) -> anyhow::Result<()> {
    let mut script = String::new();
    for v4 in ["198.51.100.0/24", "203.0.113.0/24"] {
        writeln!(script, "route add {v4} via {}", NODE1.v4)?;
    }
    for v6 in ["2001:db8:2::/64", "2001:db8:3::/64"] {
        writeln!(script, "route add {v6} via {}", NODE1.v6)?;
    }
    ip(namespace, &script)
}

fn node(namespaces: &Namespaces, network: PodNetwork, node: &Machine, other: &Machine) -> anyhow::Result<()> {
    let mut script = String::new();
    writeln!(script, "route add 10.244.{}.0/24 via {}", number(other), other.v4)?;
    writeln!(script, "route add fd00:10:244:{}::/64 via {}", number(other), other.v6)?;
    if network == PodNetwork::Bridge {
        writeln!(script, "link add {POD_BRIDGE} type bridge\nlink set {POD_BRIDGE} up")?;
        addresses(&mut script, POD_BRIDGE, &gateway(node), [24, 64])?;
    }
    for pod in PODS.iter().filter(|pod| node_of(pod) == *node) {
        pod_device(&mut script, namespaces, network, pod)?;
    }
    ip(&namespaces[node.name], &script)
}

/// Connects a pod to its node.
pub(super) fn plug(namespaces: &Namespaces, network: PodNetwork, pod: &Machine) -> anyhow::Result<()> {
    let mut script = String::new();
    pod_device(&mut script, namespaces, network, pod)?;
    ip(&namespaces[node_of(pod).name], &script)?;
    self::pod(&namespaces[pod.name], network, pod)
}

/// The node's end of a pod's veth.
fn pod_device(
    script: &mut String,
    namespaces: &Namespaces,
    network: PodNetwork,
    pod: &Machine,
) -> std::fmt::Result {
    let (name, tid, node) = (pod.name, namespaces[pod.name].tid(), node_of(pod));
    writeln!(script, "link add veth-{name} type veth peer name {UPLINK} netns {tid}")?;
    if network == PodNetwork::Bridge {
        return writeln!(script, "link set veth-{name} master {POD_BRIDGE} up");
    }
    writeln!(script, "link set veth-{name} up")?;
    addresses(script, &format!("veth-{name}"), &POINT, [32, 64])?;
    // The gateway's address is no source for packets that have to come back.
    writeln!(script, "route add {}/32 dev veth-{name} src {}", pod.v4, node.v4)?;
    writeln!(script, "route add {}/128 dev veth-{name} src {}", pod.v6, node.v6)
}

fn pod(namespace: &Namespace, network: PodNetwork, pod: &Machine) -> anyhow::Result<()> {
    let mut script = format!("link set lo up\nlink set {UPLINK} up\n");
    match network {
        PodNetwork::Bridge => {
            addresses(&mut script, UPLINK, pod, [24, 64])?;
            default_route(&mut script, &gateway(&node_of(pod)))?;
        }
        PodNetwork::PointToPoint => {
            addresses(&mut script, UPLINK, pod, [32, 128])?;
            writeln!(script, "route add {}/32 dev {UPLINK}", POINT.v4)?;
            default_route(&mut script, &POINT)?;
        }
    }
    ip(namespace, &script)
}

fn addresses(script: &mut String, device: &str, machine: &Machine, [v4, v6]: [u8; 2]) -> std::fmt::Result {
    writeln!(script, "addr add {}/{v4} dev {device}", machine.v4)?;
    writeln!(script, "addr add {}/{v6} dev {device} nodad", machine.v6)
}

fn default_route(script: &mut String, via: &Machine) -> std::fmt::Result {
    writeln!(script, "route add default via {} dev {UPLINK}", via.v4)?;
    writeln!(script, "route add default via {} dev {UPLINK}", via.v6)
}
