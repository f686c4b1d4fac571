//! The network of the world: cables, addresses, routes and sysctls.

use std::{collections::BTreeMap, fs, io, net::IpAddr};

use anyhow::Context;
use ipnet::IpNet;

use super::{
    layout::{
        CLIENT_HOST, Host, NODES, Node, POINT_GATEWAY4, POINT_GATEWAY6, Pod, PodNetwork, ROUTER, UPLINK,
        WIRE, alone, everywhere, load_balancer_cidrs,
    },
    netlink::{Netlink, Route},
    netns::Namespace,
};

/// The namespaces by their short names.
pub(super) type Namespaces = BTreeMap<&'static str, Namespace>;

/// The bridge that is the wire, and the one that node1's pods hang on.
const WIRE_BRIDGE: &str = "wire";
const POD_BRIDGE: &str = "cni0";

/// Settings of every namespace. Hosts differ in what they hand down, and
/// duplicate address detection would hold up each IPv6 address for a second.
const EVERYWHERE: [(&str, &str); 6] = [
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];
/// Settings of what forwards. The reverse path filter stays strict: svclb must
/// not need it loosened.
const ROUTERS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
];

/// Connects everything.
pub(super) async fn build(namespaces: &Namespaces) -> anyhow::Result<()> {
    for namespace in namespaces.values() {
        sysctl(namespace, &EVERYWHERE).await?;
        namespace.netlink.up("lo").await?;
    }
    let wire = &namespaces[WIRE];
    sysctl(wire, &ROUTERS).await?;
    wire.netlink.bridge(WIRE_BRIDGE).await?;
    wire.netlink.up(WIRE_BRIDGE).await?;
    addresses(&wire.netlink, WIRE_BRIDGE, ROUTER.networks()).await?;

    for node in &NODES {
        self::node(namespaces, node).await.with_context(|| format!("cannot build {}", node.host.name))?;
    }
    client(namespaces).await.context("cannot build the client")
}

async fn client(namespaces: &Namespaces) -> anyhow::Result<()> {
    plug(namespaces, &CLIENT_HOST).await?;
    let netlink = &namespaces[CLIENT_HOST.name].netlink;
    for to in load_balancer_cidrs() {
        let via = Some(NODES[0].host.like(to.addr()));
        netlink.route(Route { to, device: UPLINK, via, from: None }).await?;
    }
    Ok(())
}

async fn node(namespaces: &Namespaces, node: &Node) -> anyhow::Result<()> {
    let namespace = &namespaces[node.host.name];
    sysctl(namespace, &ROUTERS).await?;
    plug(namespaces, &node.host).await?;
    let netlink = &namespace.netlink;
    for other in NODES.iter().filter(|other| other.host.name != node.host.name) {
        for to in other.pod_cidrs() {
            let via = Some(other.host.like(to.addr()));
            netlink.route(Route { to, device: UPLINK, via, from: None }).await?;
        }
    }
    if node.network == PodNetwork::Bridge {
        netlink.bridge(POD_BRIDGE).await?;
        netlink.up(POD_BRIDGE).await?;
        addresses(netlink, POD_BRIDGE, node.gateways()).await?;
    }
    for pod in node.pods() {
        let inside = &namespaces[pod.name];
        netlink.veth(&pod.device(), UPLINK, &inside.file()?).await?;
        netlink.up(&pod.device()).await?;
        inside.netlink.up(UPLINK).await?;
        match node.network {
            PodNetwork::Bridge => bridged(node, pod, netlink, &inside.netlink).await?,
            PodNetwork::PointToPoint => point_to_point(node, pod, netlink, &inside.netlink).await?,
        }
    }
    Ok(())
}

/// A pod on the node's bridge.
async fn bridged(node: &Node, pod: &Pod, outside: &Netlink, inside: &Netlink) -> anyhow::Result<()> {
    outside.enslave(&pod.device(), POD_BRIDGE).await?;
    for (address, gateway) in pod.addresses().into_iter().zip(node.gateways()) {
        inside.address(UPLINK, IpNet::new(address, gateway.prefix_len())?).await?;
        default_route(inside, gateway.addr()).await?;
    }
    Ok(())
}

/// A pod on a veth of its own: the node's end answers for the gateway, and one
/// route leads to the pod.
async fn point_to_point(node: &Node, pod: &Pod, outside: &Netlink, inside: &Netlink) -> anyhow::Result<()> {
    let device = pod.device();
    let gateways = [IpAddr::from(POINT_GATEWAY4), IpAddr::from(POINT_GATEWAY6)];
    addresses(outside, &device, [alone(gateways[0]), IpNet::new(gateways[1], 64)?]).await?;
    for (address, gateway) in pod.addresses().into_iter().zip(gateways) {
        // The gateway's address is no source for packets that have to come back.
        let from = Some(node.host.like(address));
        outside.route(Route { to: alone(address), device: &device, via: None, from }).await?;
        inside.address(UPLINK, alone(address)).await?;
        if gateway.is_ipv4() {
            inside.route(Route { to: alone(gateway), device: UPLINK, via: None, from: None }).await?;
        }
        default_route(inside, gateway).await?;
    }
    Ok(())
}

/// Connects a machine to the wire.
async fn plug(namespaces: &Namespaces, host: &Host) -> anyhow::Result<()> {
    let (wire, inside) = (&namespaces[WIRE], &namespaces[host.name]);
    let socket = format!("to-{}", host.name);
    wire.netlink.veth(&socket, UPLINK, &inside.file()?).await?;
    wire.netlink.enslave(&socket, WIRE_BRIDGE).await?;
    wire.netlink.up(&socket).await?;
    inside.netlink.up(UPLINK).await?;
    addresses(&inside.netlink, UPLINK, host.networks()).await?;
    for router in ROUTER.addresses() {
        default_route(&inside.netlink, router).await?;
    }
    Ok(())
}

async fn addresses(netlink: &Netlink, device: &str, addresses: [IpNet; 2]) -> anyhow::Result<()> {
    for address in addresses {
        netlink.address(device, address).await?;
    }
    Ok(())
}

async fn default_route(netlink: &Netlink, via: IpAddr) -> anyhow::Result<()> {
    netlink.route(Route { to: everywhere(via), device: UPLINK, via: Some(via), from: None }).await?;
    Ok(())
}

/// Writes settings from inside, because `/proc/sys/net` shows each thread its
/// own namespace.
async fn sysctl(namespace: &Namespace, settings: &'static [(&str, &str)]) -> anyhow::Result<()> {
    let write = |&(key, value): &(&'static str, &str)| {
        fs::write(format!("/proc/sys/net/{key}"), value).map_err(|error| (key, error))
    };
    let outcome: Result<(), (&str, io::Error)> =
        namespace.run(move || settings.iter().try_for_each(write)).await?;
    outcome.map_err(|(key, error)| {
        anyhow::Error::new(error).context(format!("cannot set {key} in {}", namespace.name()))
    })
}
