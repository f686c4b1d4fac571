//! Devices that go while they are attached to, and others that come in their place.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use anyhow::ensure;
use aya::programs::{SchedClassifier, TcAttachType};
use nix::sys::signal::Signal;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, node_port},
    manifest::Service,
    wait::{PATIENCE, until},
};

use super::answers;
use crate::support::world;

const SERVICE: u8 = 162;

/// How many devices come and go.
const DEVICES: u32 = 60;

/// What is pinned for hooks.
fn hooks(world: &World) -> anyhow::Result<BTreeSet<PathBuf>> {
    let pinned = world.pinned()?;
    Ok(pinned.into_iter().filter(|path| path.components().any(|part| part.as_os_str() == "links")).collect())
}

fn come_and_go(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("brief", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, flags)?;
        let before = hooks(world)?;
        let links = world.loaded()?.links;
        let load = world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4))?;
        let mut script = String::new();
        for number in 0..DEVICES {
            writeln!(script, "link add brief{number} type veth peer name other{number}")?;
            writeln!(script, "link add uplink0 type veth peer name wan0\nlink set uplink0 up")?;
            writeln!(script, "link del uplink0\nlink del brief{number}")?;
        }
        world.ip(NODE1.name, &script)?;
        until("pins of devices that are there alone", PATIENCE, || {
            Ok((hooks(world)? == before && world.status()?.synced).then_some(()))
        })?;
        let load = load.finish()?;
        ensure!(load.failed() == 0 && load.answered() > 0, "under load: {load:?}");
        answers(world, SERVICE, &[POD2])?;
        ensure!(
            world.loaded()?.links == links,
            "links of others: {links:?}, then {:?}",
            world.loaded()?.links
        );
        let log = agent.log().text();
        // A device that the operator has named is missed each time.
        let is_fault = |line: &&str| {
            (line.contains("WARN") || line.contains("ERROR")) && !line.contains("there is no such device")
        };
        let faults: Vec<_> = log.lines().filter(is_fault).collect();
        ensure!(faults.is_empty(), "{faults:#?}");
        Ok(())
    })
}

#[test]
fn devices_that_go_while_links_are_made_leave_nothing() -> anyhow::Result<()> {
    come_and_go(&["--socket-lb", "off"])
}

#[test]
fn devices_that_go_while_filters_are_made_leave_nothing() -> anyhow::Result<()> {
    come_and_go(&["--socket-lb", "off", "--tc", "clsact"])
}

#[test]
fn uplinks_that_go_while_xdp_is_attached_leave_nothing() -> anyhow::Result<()> {
    come_and_go(&["--socket-lb", "off", "--xdp", "generic", "--uplink", "eth0", "--uplink", "uplink0"])
}

/// How many programs are on the ingress of the device.
fn programs(world: &World, is_clsact: bool) -> anyhow::Result<usize> {
    if is_clsact {
        let filters = world.tc("filter show dev spare ingress").unwrap_or_default();
        return Ok(filters.lines().filter(|line| line.contains("pod_ingress")).count());
    }
    let query = || SchedClassifier::query_tcx("spare", TcAttachType::Ingress);
    Ok(world.namespace(NODE1.name).run(query)?.map_or(0, |(_, programs)| programs.len()))
}

/// Name, index and address are those of the device before: nothing that is listed tells them apart.
fn takes_the_place(flags: &[&str]) -> anyhow::Result<()> {
    const ADD: &str = "link add spare index 700 address 02:00:00:00:07:00 type veth \
                       peer name other index 701 address 02:00:00:00:07:01\nlink set spare up\n";
    world(|world| {
        let is_clsact = flags.contains(&"clsact");
        world.publish(&Service::new("brief", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, flags)?;
        world.ip(NODE1.name, ADD)?;
        until("programs", PATIENCE, || Ok((programs(world, is_clsact)? == 1).then_some(())))?;
        // At once, as the agent sees it.
        agent.signal(Signal::SIGSTOP)?;
        let replaced = world.ip(NODE1.name, &format!("link del spare\n{ADD}"));
        let left = programs(world, is_clsact);
        agent.signal(Signal::SIGCONT)?;
        replaced?;
        ensure!(left? == 0, "the programs of the first device went with it");
        until("programs on the second", PATIENCE, || Ok((programs(world, is_clsact)? == 1).then_some(())))?;
        answers(world, SERVICE, &[POD2])
    })
}

#[test]
fn links_are_made_on_a_device_that_takes_an_index_over() -> anyhow::Result<()> {
    takes_the_place(&["--socket-lb", "off"])
}

#[test]
fn filters_are_made_on_a_device_that_takes_an_index_over() -> anyhow::Result<()> {
    takes_the_place(&["--socket-lb", "off", "--tc", "clsact"])
}

#[test]
fn notifications_that_were_lost_are_made_up_for() -> anyhow::Result<()> {
    const NEW: &str = "192.0.2.212";
    world(|world| {
        world.publish(&Service::new("brief", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut script = String::new();
        for number in 0..4000 {
            let address = format!("198.18.{}.{}/32", number / 250, number % 250 + 1);
            writeln!(script, "address add {address} dev lo\naddress del {address} dev lo")?;
        }
        writeln!(script, "address add {NEW}/24 dev eth0\nlink add spare type veth peer name other")?;
        agent.signal(Signal::SIGSTOP)?;
        let done = world.ip(NODE1.name, &script);
        agent.signal(Signal::SIGCONT)?;
        done?;
        agent.log().wait_for(0, PATIENCE, |line| line.contains("listing the node's network again"))?;
        until("programs on a new device", PATIENCE, || Ok((programs(world, false)? == 1).then_some(())))?;
        let to = format!("{NEW}:{}", node_port(SERVICE)).parse()?;
        until("answers at a new address", PATIENCE, || {
            Ok((world.ask(Place::Outside, Mode::Tcp, to, 1)?.answered() == 1).then_some(()))
        })?;
        Ok(())
    })
}
