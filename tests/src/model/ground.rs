//! Addresses and names that a world has room for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    netns::{
        layout::{CLIENT, Family, Machine, NODE1, POD_PORT, POD1, PODS, node_of},
        server::Server,
        world::World,
    },
    reference::{Ground, ground::Pod},
};

/// The other port that pods serve.
pub const OTHER_PORT: u16 = POD_PORT + 1;

/// A hundred addresses of each kind, in which no other test has Services.
pub fn of_world() -> Ground {
    let both = |machine: &Machine| Family::ALL.map(|family| machine.address(family));
    let pods = PODS.map(|pod| Pod { addresses: both(&pod), node: node_of(&pod).name.into() });
    let v6 = |a, b, c, d| Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0x200);
    let range = |address: IpAddr, length: u8| format!("{address}/{length}");
    Ground {
        namespace: "model".into(),
        node: NODE1.name.into(),
        node_addresses: both(&NODE1).into(),
        has_node: true,
        pods: pods.into(),
        targets: vec![POD_PORT, OTHER_PORT],
        services: ["ada", "bea", "cara", "dora", "eva", "fay"].map(String::from).into(),
        cluster_ips: Ground::addresses(Ipv4Addr::new(10, 96, 7, 200), v6(0xfd00, 0x10, 0x96, 7), 7),
        external_ips: Ground::addresses(Ipv4Addr::new(198, 51, 100, 200), v6(0x2001, 0xdb8, 3, 0), 3),
        balancer_ips: Ground::addresses(Ipv4Addr::new(203, 0, 113, 200), v6(0x2001, 0xdb8, 2, 0), 3),
        node_ports: (31_000..31_006).collect(),
        health_ports: 32_500,
        ports: vec![80, 81, 443],
        source_ranges: vec![
            range(NODE1.v4.into(), 32),
            range(NODE1.v6.into(), 64),
            range(CLIENT.v4.into(), 32),
            range(CLIENT.v6.into(), 128),
            range(POD1.v4.into(), 24),
            format!(" {} ", range(POD1.v6.into(), 128)),
            "0.0.0.0/0".into(),
            "::/0".into(),
            "172.16.0.0/12".into(),
        ],
        zones: ["north", "south"].map(String::from).into(),
    }
}

/// Lets all pods serve their other port as well, until the servers are dropped. There they call themselves by name and port.
pub fn serve(world: &World) -> anyhow::Result<Vec<Server>> {
    let start = |pod: &Machine| {
        let name = format!("{}:{OTHER_PORT}", pod.name);
        Server::start_at(world.namespace(pod.name), &name, OTHER_PORT)
    };
    PODS.iter().map(start).collect()
}

/// Who calls itself that, in a family.
pub fn by_name(name: &str, family: Family) -> Option<std::net::SocketAddr> {
    let (pod, port) = match name.split_once(':') {
        Some((pod, port)) => (pod, port.parse().ok()?),
        None => (name, POD_PORT),
    };
    let pod = PODS.iter().find(|known| known.name == pod)?;
    Some((pod.address(family), port).into())
}
