//! Uplinks with VLANs.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, NODE1, POD1, POD2, POD3, UPLINK, node_port},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::{told, world};

const SERVICE: u8 = 42;

/// The device of the VLAN, on the node and on the client.
const DEVICE: &str = "eth0.7";

/// The uplinks.
const UPLINKS: [&str; 4] = ["--uplink", UPLINK, "--uplink", DEVICE];

/// The node's addresses in the VLAN.
const NODE: [&str; 2] = ["198.18.7.11", "2001:db8:7::11"];

/// Gives the node and the client a VLAN, by which the client reaches Services.
fn tag(world: &World) -> anyhow::Result<()> {
    for (machine, last) in [(NODE1, 11), (CLIENT, 100)] {
        let script = format!(
            "link add link {UPLINK} name {DEVICE} type vlan id 7\n\
             link set {DEVICE} up\n\
             addr add 198.18.7.{last}/24 dev {DEVICE}\n\
             addr add 2001:db8:7::{last}/64 dev {DEVICE} nodad\n"
        );
        world.ip(machine.name, &script)?;
    }
    let [v4, v6] = NODE;
    world.ip(
        CLIENT.name,
        &format!(
            "route replace 198.51.100.0/24 via {v4}\nroute replace 203.0.113.0/24 via {v4}\n\
             route replace 2001:db8:2::/64 via {v6}\nroute replace 2001:db8:3::/64 via {v6}\n"
        ),
    )
}

fn serves(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        tag(world)?;
        let flags: Vec<&str> = UPLINKS.iter().chain(flags).copied().collect();
        world.publish(&Service::new("tagged", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &flags)?;
        for backend in [POD2, POD3] {
            world.publish(&Service::new("tagged", SERVICE, &[backend]))?;
            for place in [Place::Outside, Place::Pod(POD1)] {
                crate::support::served(world, &agent, place, SERVICE, &Mode::ALL, &backend)?;
            }
            for address in NODE {
                let to = (address.parse::<std::net::IpAddr>()?, node_port(SERVICE)).into();
                until("an answer in the VLAN", PATIENCE, || {
                    Ok((world.ask(Place::Outside, Mode::Tcp, to, 4)?.answered() == 4).then_some(()))
                })
                .map_err(|error| error.context(format!("{to}\n{}", agent.log().text())))?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_client_in_a_vlan_is_served() -> anyhow::Result<()> {
    serves(&[])
}

#[test]
fn a_client_in_a_vlan_is_served_by_filters() -> anyhow::Result<()> {
    serves(&["--tc", "clsact"])
}

#[test]
fn a_client_in_a_vlan_is_served_behind_a_program_in_front_of_the_stack() -> anyhow::Result<()> {
    world(|world| {
        // what a card does with `ethtool -K eth0 rxvlan off`
        tag(world)?;
        let flags: Vec<&str> = UPLINKS.into_iter().chain(["--xdp", "generic"]).collect();
        world.publish(&Service::new("tagged", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &flags)?;
        crate::support::served(world, &agent, Place::Outside, SERVICE, &Mode::ALL, &POD2)
    })
}

#[test]
fn a_check_names_what_stands_against_xdp() -> anyhow::Result<()> {
    world(|world| {
        tag(world)?;
        let flags: Vec<&str> = UPLINKS.into_iter().chain(["--xdp", "native"]).collect();
        let lines = told(world, &flags)?;
        for (what, wanted) in [
            ("device eth0.7 ", "leads to other nodes"),
            ("xdp eth0.7 ", "a VLAN's device has no driver of its own"),
            ("xdp eth0 ", "takes the tags out of the frames of its VLANs"),
        ] {
            let line = lines.iter().find(|line| line.contains(what));
            ensure!(line.is_some_and(|line| line.contains(wanted)), "{what}: {lines:#?}");
        }
        Ok(())
    })
}
