//! How evenly requests are spread.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, POD1, PODS},
    manifest::Service,
};

use crate::support::world;

const SERVICE: u8 = 30;

/// So many that a fair choice leaves the bounds less often than once in 5,000 runs: they
/// are four standard deviations wide.
const REQUESTS: u32 = 20_000;

/// Each backend's share, and what it may deviate by: 5 %.
const SHARE: u32 = REQUESTS / 4;
const DEVIATION: u32 = SHARE / 20;

fn is_even(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("even", SERVICE, &PODS))?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let answers =
        world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), REQUESTS)?;
    ensure!(answers.failed() == 0, "{answers:?}");
    for pod in PODS {
        let answered = answers.pods.get(pod.name).copied().unwrap_or(0);
        ensure!(answered.abs_diff(SHARE) <= DEVIATION, "{}: {answered} of {REQUESTS}: {answers:?}", pod.name);
    }
    Ok(())
}

#[test]
fn packets_are_spread_evenly() -> anyhow::Result<()> {
    world(|world| is_even(world, "off"))
}

#[test]
fn sockets_are_spread_evenly() -> anyhow::Result<()> {
    world(|world| is_even(world, "all"))
}
