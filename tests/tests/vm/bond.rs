//! A bond of two ports as uplink.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{NODE1, NODE2, POD1, POD2, POD3, ROUTER, UPLINK, WIRE},
    manifest::Service,
};

use crate::support::{served, told, world};

const SERVICE: u8 = 43;

/// The bond.
const DEVICE: &str = "bond0";

/// Makes the node's uplink a port of a bond, which has another port as well, and its addresses and routes.
fn bundle(world: &World) -> anyhow::Result<()> {
    let tid = world.namespace(NODE1.name).tid();
    world.ip(
        WIRE,
        &format!(
            "link add to-other type veth peer name eth1 netns {tid}\nlink set to-other master wire up\n"
        ),
    )?;
    world.ip(
        NODE1.name,
        &format!(
            "link add {DEVICE} type bond mode active-backup miimon 10\n\
             link set {UPLINK} down\n\
             link set {UPLINK} master {DEVICE}\n\
             link set eth1 master {DEVICE}\n\
             link set {DEVICE} type bond active_slave {UPLINK}\n\
             link set {DEVICE} up\n\
             addr flush dev {UPLINK}\n\
             addr add {}/24 dev {DEVICE}\n\
             addr add {}/64 dev {DEVICE} nodad\n\
             route replace 10.244.2.0/24 via {} dev {DEVICE}\n\
             route replace fd00:10:244:2::/64 via {} dev {DEVICE}\n\
             route replace default via {} dev {DEVICE}\n\
             route replace default via {} dev {DEVICE}\n",
            NODE1.v4, NODE1.v6, NODE2.v4, NODE2.v6, ROUTER.v4, ROUTER.v6
        ),
    )?;
    for pod in [POD1, POD2] {
        let script = format!(
            "route replace {}/32 dev veth-{name} src {}\nroute replace {}/128 dev veth-{name} src {}\n",
            pod.v4,
            NODE1.v4,
            pod.v6,
            NODE1.v6,
            name = pod.name
        );
        world.ip(NODE1.name, &script)?;
    }
    Ok(())
}

fn serves(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        bundle(world)?;
        world.publish(&Service::new("bundled", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, flags)?;
        for backend in [POD2, POD3] {
            world.publish(&Service::new("bundled", SERVICE, &[backend]))?;
            for place in [Place::Outside, Place::Pod(POD1), Place::Host] {
                served(world, &agent, place, SERVICE, &Mode::ALL, &backend)?;
            }
        }
        world.ip(NODE1.name, &format!("link set {UPLINK} down\n"))?;
        served(world, &agent, Place::Outside, SERVICE, &Mode::ALL, &POD3)
    })
}

#[test]
fn a_bond_serves_by_whichever_port() -> anyhow::Result<()> {
    serves(&["--socket-lb", "off"])
}

#[test]
fn a_bond_serves_by_filters() -> anyhow::Result<()> {
    serves(&["--socket-lb", "off", "--tc", "clsact"])
}

#[test]
fn a_check_names_what_stands_against_xdp() -> anyhow::Result<()> {
    world(|world| {
        bundle(world)?;
        let lines = told(world, &["--uplink", DEVICE, "--uplink", UPLINK, "--xdp", "native"])?;
        for (what, wanted) in [
            ("device bond0 ", "leads to other nodes"),
            ("xdp bond0 ", "frames of a bond are received by its ports"),
            ("xdp eth0 ", "it is a port of a bond"),
        ] {
            let line = lines.iter().find(|line| line.contains(what));
            ensure!(line.is_some_and(|line| line.contains(wanted)), "{what}: {lines:#?}");
        }
        Ok(())
    })
}
