//! Devices come and go under a running agent.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, LATE, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 80;

fn a_pod_starts_late(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        world.publish(&Service::new("devices", SERVICE, &[POD2, POD3]))?;
        let _agent = Agent::start(world, flags)?;
        world.add_pod(&LATE)?;
        until("an answer for a new pod", PROMISE, || {
            Ok((world.ask(Place::Pod(LATE), Mode::Tcp, to, 1)?.answered() == 1).then_some(()))
        })?;
        let answers = world.ask(Place::Pod(LATE), Mode::Tcp, to, 20)?;
        ensure!(answers.answered() == 20 && answers.pods.len() == 2, "{answers:?}");

        // It serves as well as it asks.
        world.publish(&Service::new("devices", SERVICE, &[LATE]))?;
        for place in [Place::Pod(POD1), Place::Pod(LATE), Place::Outside] {
            let to = Frontend::LoadBalancer.of(SERVICE, Family::V6);
            until("an answer of a new pod", PROMISE, || {
                let answers = world.ask(place, Mode::Tcp, to, 1)?;
                Ok(answers.pods.contains_key(LATE.name).then_some(()))
            })?;
        }
        Ok(())
    })
}

#[test]
fn a_late_pod_is_served_by_tcx() -> anyhow::Result<()> {
    a_pod_starts_late(&["--socket-lb", "off"])
}

#[test]
fn a_late_pod_is_served_by_clsact() -> anyhow::Result<()> {
    a_pod_starts_late(&["--socket-lb", "off", "--tc", "clsact"])
}

/// Whether anything is attached to the second pod's device.
fn is_attached(world: &World) -> anyhow::Result<bool> {
    Ok(world.status()?.attached.iter().any(|attached| attached.device == "veth-pod2"))
}

fn a_pod_vanishes(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        world.publish(&Service::new("devices", SERVICE, &[POD3]))?;
        let agent = Agent::start(world, flags)?;
        ensure!(is_attached(world)?, "nothing is attached to veth-pod2");
        let pins = world.pinned()?.len();

        world.ip(NODE1.name, "link del veth-pod2")?;
        until("detachment", PROMISE, || {
            let is_gone = !is_attached(world)? && world.pinned()?.len() < pins;
            Ok(is_gone.then_some(()))
        })?;
        let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 4)?;
        ensure!(answers.answered() == 4, "{answers:?}\n{}", agent.log().text());

        // An agent that was away when a device vanished starts all the same.
        agent.kill()?;
        world.ip(NODE1.name, "link del veth-pod1")?;
        let _next = Agent::start(world, flags)?;
        let answers = world.ask(Place::Host, Mode::Tcp, to, 4)?;
        ensure!(answers.answered() == 4, "{answers:?}");
        Ok(())
    })
}

#[test]
fn a_device_that_vanishes_takes_its_links_along() -> anyhow::Result<()> {
    a_pod_vanishes(&["--socket-lb", "off"])
}

#[test]
fn a_device_that_vanishes_takes_its_filters_along() -> anyhow::Result<()> {
    a_pod_vanishes(&["--socket-lb", "off", "--tc", "clsact"])
}

/// The programs on the first node's uplink, by hook.
fn on_uplink(world: &World) -> anyhow::Result<Vec<String>> {
    let attached = world.status()?.attached;
    Ok(attached.into_iter().filter(|attached| attached.device == "eth0").map(|a| a.program).collect())
}

fn a_device_becomes_an_uplink(flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        world.ip(NODE1.name, "route del 0.0.0.0/0\nroute del ::/0")?;
        let _agent = Agent::start(world, flags)?;
        ensure!(on_uplink(world)? == ["pod_egress", "pod_ingress"], "{:?}", on_uplink(world)?);
        world.ip(NODE1.name, "route add 0.0.0.0/0 dev eth0")?;
        until("the programs of an uplink", PROMISE, || {
            Ok((on_uplink(world)? == ["uplink_egress", "uplink_ingress"]).then_some(()))
        })?;
        // A route that goes, as at every renewal of a lease, does not take them away.
        world.ip(NODE1.name, "route del 0.0.0.0/0")?;
        world.add_pod(&LATE)?;
        until("the device after the route", PROMISE, || {
            let attached = world.status()?.attached;
            Ok(attached.iter().any(|attached| attached.device.contains(LATE.name)).then_some(()))
        })?;
        ensure!(on_uplink(world)? == ["uplink_egress", "uplink_ingress"], "{:?}", on_uplink(world)?);
        Ok(())
    })
}

#[test]
fn programs_follow_the_role_of_a_device() -> anyhow::Result<()> {
    a_device_becomes_an_uplink(&[])
}

#[test]
fn filters_follow_the_role_of_a_device() -> anyhow::Result<()> {
    a_device_becomes_an_uplink(&["--tc", "clsact"])
}
