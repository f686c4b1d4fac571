//! Kernels without TCX: filters of the clsact queueing discipline.

use anyhow::ensure;
use nix::sys::signal::Signal;
use svclb_tests::netns::{Agent, World, layout::POD2, manifest::Service};

use crate::{reach::reach, restart::under_load, support::world};

const FLAGS: [&str; 4] = ["--tc", "clsact", "--socket-lb", "off"];

/// The filters of a device's ingress.
fn filters(world: &World) -> anyhow::Result<Vec<String>> {
    let text = world.tc("filter show dev veth-pod1 ingress")?;
    // Each is preceded by a line for its priority alone.
    Ok(text.lines().filter(|line| line.contains("pod_ingress")).map(str::to_owned).collect())
}

#[test]
fn filters_serve_like_links() -> anyhow::Result<()> {
    world(|world| reach(world, &FLAGS))
}

#[test]
fn a_restart_replaces_filters_in_place() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("brief", 95, &[POD2]))?;
        let agent = Agent::start(world, &FLAGS)?;
        let before = filters(world)?;
        ensure!(before.len() == 1, "{before:?}");
        agent.kill()?;
        let _next = Agent::start(world, &FLAGS)?;
        let after = filters(world)?;
        ensure!(after.len() == 1 && after != before, "was {before:?}, is {after:?}");
        ensure!(world.status()?.writes == 0, "{} writes for nothing new", world.status()?.writes);
        Ok(())
    })
}

#[test]
fn a_kill_is_not_noticed_by_filters() -> anyhow::Result<()> {
    world(|world| under_load(world, Signal::SIGKILL, &FLAGS))
}
