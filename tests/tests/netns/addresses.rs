//! Addresses: where node ports answer, and what no Service answers.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3, node_port},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 110;

/// An address of the node beside its first one, on the device of the first.
const SECOND: &str = "192.0.2.211";

fn answered(world: &World, place: Place, to: std::net::SocketAddr) -> anyhow::Result<bool> {
    Ok(world.ask(place, Mode::Tcp, to, 1)?.answered() == 1)
}

fn node_ports(world: &World, flags: &[&str], second: bool, loopback: bool) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD2]))?;
    let _agent = Agent::start(world, flags)?;
    let port = node_port(SERVICE);
    let second_address = (SECOND.parse::<std::net::IpAddr>()?, port).into();
    for place in [Place::Host, Place::Pod(POD1), Place::Outside] {
        for family in Family::ALL {
            let first = Frontend::NodePort.of(SERVICE, family);
            ensure!(answered(world, place, first)?, "{flags:?} {place:?} {first}");
        }
        let found = answered(world, place, second_address)?;
        ensure!(found == second, "{flags:?} {place:?} {second_address}: answered {found}");
    }
    let at = Frontend::NodePortOnLoopback.of(SERVICE, Family::V4);
    let found = answered(world, Place::Host, at)?;
    ensure!(found == loopback, "{flags:?} {at}: answered {found}");
    Ok(())
}

#[test]
fn node_ports_answer_on_the_addresses_that_are_chosen() -> anyhow::Result<()> {
    world(|world| {
        world.ip(NODE1.name, &format!("address add {SECOND}/24 dev eth0\n"))?;
        let node = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{ name: node1 }}\nstatus:\n  addresses: [{{ type: InternalIP, \
             address: \"{}\" }}, {{ type: InternalIP, address: \"{}\" }}]\n",
            NODE1.v4, NODE1.v6
        );
        world.publish_text("node.yaml", &node)?;
        let only = format!("{}/32", NODE1.v4);
        for socket_lb in ["all", "off"] {
            let base = ["--socket-lb", socket_lb];
            node_ports(world, &base, true, true)?;
            let chosen = [&base[..], &["--nodeport-addresses", "192.0.2.0/24"]].concat();
            node_ports(world, &chosen, true, false)?;
            let chosen = [&base[..], &["--nodeport-addresses", &only]].concat();
            node_ports(world, &chosen, false, false)?;
            let chosen = [&base[..], &["--nodeport-addresses", "primary"]].concat();
            node_ports(world, &chosen, false, false)?;
        }
        Ok(())
    })
}

fn unallocated(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD2, POD3]))?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let vip = Frontend::ClusterIp.of(SERVICE, Family::V4);
    for place in [Place::Pod(POD1), Place::Host] {
        for family in Family::ALL {
            // A port that the Service does not have.
            let mut wrong = Frontend::ClusterIp.of(SERVICE, family);
            wrong.set_port(81);
            // Where sockets are translated, connect() of a datagram socket of the host stays possible: resolvers
            // try addresses so (RFC 6724), and send nothing.
            let datagrams = if place == Place::Host && socket_lb == "all" { Mode::SendTo } else { Mode::Udp };
            for mode in [Mode::Tcp, datagrams] {
                let answers = world.ask(place, mode, wrong, 1)?;
                ensure!(answers.errors.contains_key("ECONNREFUSED"), "{place:?} {wrong}: {answers:?}");
            }
        }
    }
    // A range that comes while the agent runs: what nobody has in it leads nowhere.
    let range = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: { name: kubernetes }\n\
                 spec: { cidrs: [\"10.96.0.0/16\", \"fd00:10:96::/112\"] }\n";
    world.publish_text("range.yaml", range)?;
    let free = "10.96.77.77:80".parse()?;
    let before = world.drops("unallocated_vip")?;
    until("a range in force", PROMISE, || {
        world.ask(Place::Pod(POD1), Mode::Tcp, free, 1)?;
        Ok((world.drops("unallocated_vip")? > before).then_some(()))
    })?;
    ensure!(answered(world, Place::Pod(POD1), vip)?, "a Service in the range still answers");
    Ok(())
}

#[test]
fn addresses_of_nobody_are_packets_to_nowhere() -> anyhow::Result<()> {
    world(|world| unallocated(world, "off"))
}

#[test]
fn addresses_of_nobody_are_sockets_to_nowhere() -> anyhow::Result<()> {
    world(|world| unallocated(world, "all"))
}
