//! The way out of the node changes under flows: its addresses, its state, its device.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, NODE1, NODE2, POD2, POD3, ROUTER, UPLINK, WIRE, node_port},
    manifest::Service,
    wait::{PATIENCE, until},
};

use super::answers;
use crate::support::world;

const SERVICE: u8 = 165;

/// Addresses that the node gets beside its first ones, and then keeps instead of them.
const NEW: [&str; 2] = ["192.0.2.221", "2001:db8:1::221"];

/// What the backend takes for its client.
fn seen(world: &World, family: Family) -> anyhow::Result<String> {
    let answers = world.ask(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, family), 1)?;
    Ok(answers.lines.keys().next().cloned().unwrap_or_default())
}

#[test]
fn new_flows_take_a_new_address_and_old_ones_keep_theirs() -> anyhow::Result<()> {
    world(|world| {
        // Elsewhere, so that the node's address takes the client's place.
        world.publish(&Service::new("moved", SERVICE, &[POD3]))?;
        let _agent = Agent::start(world, &[])?;
        for family in Family::ALL {
            let first = NODE1.address(family).to_string();
            ensure!(seen(world, family)?.contains(&first), "{first}: {}", seen(world, family)?);
        }
        let mut held =
            Family::ALL.map(|family| world.hold(Place::Outside, Frontend::LoadBalancer.of(SERVICE, family)));
        let mut ask = || -> anyhow::Result<Vec<_>> {
            held.iter_mut()
                .map(|held| held.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?.ask())
                .collect()
        };
        let before = ask()?;
        // As tools that manage networks set it: the next address lives when the first one goes.
        world.namespace(NODE1.name).sysctl(&[("ipv4/conf/eth0/promote_secondaries", "1")])?;
        world.ip(
            NODE1.name,
            &format!(
                "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n\
                 route replace 10.244.2.0/24 via {} src {}\nroute replace fd00:10:244:2::/64 via {} src {}\n",
                NEW[0], NEW[1], NODE2.v4, NEW[0], NODE2.v6, NEW[1]
            ),
        )?;
        ensure!(ask()? == before, "a second address");
        // Clients go by the new address before the old one goes.
        for (namespace, device) in [(CLIENT.name, UPLINK), (NODE2.name, UPLINK)] {
            let flush = format!("neigh flush dev {device}\n");
            world.ip(namespace, &flush)?;
        }
        let ways = format!(
            "route replace 198.51.100.0/24 via {0}\nroute replace 203.0.113.0/24 via {0}\n\
             route replace 2001:db8:2::/64 via {1}\nroute replace 2001:db8:3::/64 via {1}\n",
            NEW[0], NEW[1]
        );
        world.ip(CLIENT.name, &ways)?;
        ensure!(ask()? == before, "another way to the same node");
        world.ip(
            NODE1.name,
            &format!("addr del {}/24 dev eth0\naddr del {}/64 dev eth0\n", NODE1.v4, NODE1.v6),
        )?;
        for (family, new) in Family::ALL.into_iter().zip(NEW) {
            let to = (new.parse::<std::net::IpAddr>()?, node_port(SERVICE)).into();
            until("flows of the new address", PATIENCE, || {
                Ok(seen(world, family)?.contains(new).then_some(()))
            })?;
            let answers = world.ask(Place::Outside, Mode::Tcp, to, 4)?;
            ensure!(answers.answered() == 4, "{to}: {answers:?}");
            let gone = Frontend::NodePort.of(SERVICE, family);
            let answers = world.ask(Place::Host, Mode::Tcp, gone, 1)?;
            ensure!(answers.answered() == 0, "an address that is nobody's answers: {answers:?}");
        }
        Ok(())
    })
}

#[test]
fn an_uplink_that_goes_down_and_up_is_not_noticed_by_flows() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("moved", SERVICE, &[POD2, POD3]))?;
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut held = world.hold(Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?;
        let before = held.ask()?;
        let links = world.loaded()?.links;
        world.ip(NODE1.name, "link set eth0 down\n")?;
        // The kernel takes routes away with it, and addresses of IPv6.
        world.ip(
            NODE1.name,
            &format!(
                "link set eth0 up\naddr replace {}/64 dev eth0 nodad\nroute replace default via {} dev eth0\n\
                 route replace default via {} dev eth0\nroute replace 10.244.2.0/24 via {}\n\
                 route replace fd00:10:244:2::/64 via {}\n",
                NODE1.v6, ROUTER.v4, ROUTER.v6, NODE2.v4, NODE2.v6
            ),
        )?;
        until("a node that answers", PATIENCE, || {
            let asked = Family::ALL.map(|family| {
                world.ask(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, family), 1)
            });
            Ok(asked.into_iter().all(|answers| answers.is_ok_and(|it| it.answered() == 1)).then_some(()))
        })?;
        answers(world, SERVICE, &[POD2, POD3])?;
        ensure!(held.ask()? == before, "an open connection");
        ensure!(
            world.loaded()?.links == links,
            "{links:?}, then {:?}\n{}",
            world.loaded()?.links,
            agent.log().text()
        );
        Ok(())
    })
}

#[test]
fn a_default_route_that_moves_makes_its_device_an_uplink_too() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("moved", SERVICE, &[POD2, POD3]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut held = world.hold(Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?;
        let before = held.ask()?;
        let tid = world.namespace(NODE1.name).tid();
        let plug = format!(
            "link add second type veth peer name eth1 netns {tid}\nlink set second master wire up\n\
             addr add 192.0.3.1/24 dev wire\n"
        );
        world.ip(WIRE, &plug)?;
        world.ip(CLIENT.name, "addr add 192.0.3.100/24 dev eth0\n")?;
        world.ip(
            NODE1.name,
            "link set eth1 up\naddr add 192.0.3.11/24 dev eth1\nroute replace default via 192.0.3.1 dev eth1\nroute del ::/0\n",
        )?;
        let programs = |device: &str| -> anyhow::Result<Vec<String>> {
            let attached = world.status()?.attached;
            Ok(attached.into_iter().filter(|it| it.device == device).map(|it| it.program).collect())
        };
        until("an uplink", PATIENCE, || {
            Ok((programs("eth1")? == ["uplink_egress", "uplink_ingress"]).then_some(()))
        })?;
        ensure!(programs("eth0")? == ["uplink_egress", "uplink_ingress"], "{:?}", programs("eth0")?);
        let to = format!("192.0.3.11:{}", node_port(SERVICE)).parse()?;
        until("answers at its address", PATIENCE, || {
            Ok((world.ask(Place::Outside, Mode::Tcp, to, 1)?.answered() == 1).then_some(()))
        })?;
        let answers = world.ask(Place::Outside, Mode::Tcp, to, 12)?;
        ensure!(answers.answered() == 12 && answers.pods.len() == 2, "{answers:?}");
        ensure!(held.ask()? == before, "an open connection by the first device");
        Ok(())
    })
}
