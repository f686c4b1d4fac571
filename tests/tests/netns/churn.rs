//! Endpoints that change without pause.

use std::fs;

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    churn::{Churn, Churning},
    client::Mode,
    layout::{Family, Frontend, Machine, POD1, POD2, POD3, POD4},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 168;
const OTHERS: &[Machine] = &[POD1, POD2, POD4];

const CHANGES: u64 = 20_000;
/// After so many the agent has met what it will meet.
const WARM: u64 = 4000;
/// What it may have more at the end than then: allocators and the kernel's pages are not exact.
const SLACK: u64 = 8 << 20;

/// Bytes of the agent in memory.
fn resident(world: &World) -> anyhow::Result<u64> {
    let pid = world.status()?.agent.context("no agent runs")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn after(churning: &Churning, changes: u64) -> anyhow::Result<()> {
    until("changes", PATIENCE * 10, || Ok((churning.changes() >= changes).then_some(()))).map(drop)
}

#[test]
fn churn_fails_no_request_and_takes_no_memory() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("churned", SERVICE, &[POD3]))?;
        let agent = Agent::start(world, &["--socket-lb", "all"])?;
        let mut held = world.hold(Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?;
        let before = held.ask()?;
        ensure!(before.answered() == 1, "{before:?}");
        let loads = [
            world.load(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, Family::V4))?,
            world.load(Place::Outside, Mode::Udp, Frontend::NodePort.of(SERVICE, Family::V6))?,
            world.load(Place::Host, Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V6))?,
            world.load(Place::Pod(POD1), Mode::Udp, Frontend::ClusterIp.of(SERVICE, Family::V4))?,
        ];
        let churn = Churn { name: "churned", number: SERVICE, always: POD3, others: OTHERS, rate: 1000 };
        let churning = churn.start(world, CHANGES)?;
        after(&churning, WARM)?;
        let warm = resident(world)?;
        ensure!(churning.finish()? == CHANGES, "not all changes were written");
        let end = resident(world)?;
        for load in loads {
            let answers = load.finish()?;
            ensure!(answers.failed() == 0 && answers.answered() > 100, "{answers:?}\n{}", agent.log().text());
        }
        ensure!(held.ask()? == before, "what was open is with another endpoint");
        ensure!(end <= warm + SLACK, "{warm} bytes, then {end}");
        Ok(())
    })
}
