//! Frames larger than a page's worth of buffer, on an uplink with an MTU of 9000.

use anyhow::{Context as _, ensure};
use svclb::sys::ethtool;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, NODE1, NODE2, POD2, POD3, UPLINK, WIRE},
    manifest::Service,
};

use crate::support::{served, told, world};

const SERVICE: u8 = 44;

/// Datagrams that fit into one frame of the uplink.
const MODES: [Mode; 3] = [Mode::Tcp, Mode::Udp, Mode::Large(8_800)];

/// Gives every device between the client and the pods that MTU.
fn widen(world: &World) -> anyhow::Result<()> {
    for machine in [NODE1, NODE2, CLIENT] {
        world.ip(WIRE, &format!("link set to-{} mtu 9000\n", machine.name))?;
        world.ip(machine.name, &format!("link set {UPLINK} mtu 9000\n"))?;
    }
    world.ip(WIRE, "link set wire mtu 9000\n")?;
    for (pod, node) in [(POD2, NODE1), (POD3, NODE2)] {
        world.ip(node.name, &format!("link set veth-{} mtu 9000\n", pod.name))?;
        world.ip(pod.name, &format!("link set {UPLINK} mtu 9000\n"))?;
    }
    // frames come with their checksums, as they do from a wire
    let other_end = format!("to-{}", NODE1.name);
    let checksums = world.namespace(WIRE).run(move || ethtool::set_tx_checksum(&other_end, false))?;
    checksums.context("the other end of the uplink")
}

#[test]
fn large_frames_are_translated() -> anyhow::Result<()> {
    world(|world| {
        widen(world)?;
        world.publish(&Service::new("large", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        for backend in [POD2, POD3] {
            world.publish(&Service::new("large", SERVICE, &[backend]))?;
            served(world, &agent, Place::Outside, SERVICE, &MODES, &backend)?;
        }
        Ok(())
    })
}

/// What is attached in front of the stack is what `svclb check` says, and large frames arrive either way.
#[test]
fn large_frames_come_in_front_of_the_stack() -> anyhow::Result<()> {
    world(|world| {
        widen(world)?;
        let lines = told(world, &["--xdp", "native"])?;
        let line = lines.iter().find(|line| line.contains("xdp eth0 ")).context("no line of eth0")?;
        world.publish(&Service::new("large", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &["--xdp", "native"])?;
        let attached = world.status()?.attached;
        let is_attached = attached.iter().any(|attached| attached.hook == "xdp");
        ensure!(is_attached != line.contains("off: "), "{line}, but {attached:?}\n{}", agent.log().text());
        served(world, &agent, Place::Outside, SERVICE, &MODES, &POD2)
    })
}
