//! `svclb cleanup` leaves nothing of svclb on the host, and everything of others.

use std::fs;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 70;

/// The sysctls that per-packet translation of host processes needs.
const LOOPBACK: [&str; 3] = ["accept_local", "route_localnet", "rp_filter"];

fn loopback_sysctls(world: &World) -> anyhow::Result<Vec<String>> {
    let read = |name| fs::read_to_string(format!("/proc/sys/net/ipv4/conf/lo/{name}"));
    let values = world.namespace(NODE1.name).run(move || LOOPBACK.map(read))?;
    Ok(values.into_iter().collect::<Result<_, _>>()?)
}

/// An agent comes and goes, and `svclb cleanup` after it.
pub(crate) fn leaves_nothing(world: &World, flags: &[&str]) -> anyhow::Result<()> {
    let sysctls = loopback_sysctls(world)?;
    world.publish(&Service::new("brief", SERVICE, &[POD2, POD3]))?;
    let agent = Agent::start(world, flags)?;
    let answers = world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 4)?;
    ensure!(answers.answered() == 4, "{answers:?}");
    let loaded = world.loaded()?;
    ensure!(!loaded.maps.is_empty() && !loaded.programs.is_empty(), "{loaded:?}");
    ensure!(agent.terminate()?.success());

    let cleanup = world.svclb(&["cleanup"])?;
    ensure!(cleanup.status.success(), "{cleanup:?}");
    let pinned = world.pinned()?;
    ensure!(pinned.is_empty(), "still pinned: {pinned:?}");
    let qdiscs = world.tc("qdisc show")?;
    ensure!(!qdiscs.contains("clsact"), "{qdiscs}");
    // The kernel frees them a moment after their last user is gone.
    until("an empty kernel", PATIENCE, || {
        let remaining = loaded.remaining()?;
        Ok((remaining.maps.is_empty() && remaining.programs.is_empty()).then_some(()))
    })?;
    let now = loopback_sysctls(world)?;
    ensure!(now == sysctls, "{LOOPBACK:?} were {sysctls:?} and are {now:?}");
    let again = world.svclb(&["cleanup"])?;
    ensure!(again.status.success(), "a second time: {again:?}");
    Ok(())
}

#[test]
fn nothing_is_left_of_tcx() -> anyhow::Result<()> {
    world(|world| leaves_nothing(world, &["--socket-lb", "all"]))
}

#[test]
fn nothing_is_left_of_per_packet_translation() -> anyhow::Result<()> {
    world(|world| leaves_nothing(world, &["--socket-lb", "off"]))
}

#[test]
fn nothing_is_left_of_clsact() -> anyhow::Result<()> {
    world(|world| leaves_nothing(world, &["--tc", "clsact"]))
}

#[test]
fn filters_of_others_stay() -> anyhow::Result<()> {
    world(|world| {
        world.tc("qdisc add dev veth-pod1 clsact")?;
        world.tc("filter add dev veth-pod1 egress prio 7 u32 match u32 0 0 classid 1:1")?;
        let show = || world.tc("filter show dev veth-pod1 egress");
        let before = show()?;
        ensure!(before.contains("u32"), "the filter of another is missing: {before:?}");
        world.publish(&Service::new("brief", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &["--tc", "clsact", "--socket-lb", "off"])?;
        let answers =
            world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 4)?;
        ensure!(answers.answered() == 4, "beside a filter of another: {answers:?}");
        ensure!(agent.terminate()?.success());
        ensure!(world.svclb(&["cleanup"])?.status.success());
        ensure!(show()? == before, "was {before}, is {}", show()?);
        Ok(())
    })
}
