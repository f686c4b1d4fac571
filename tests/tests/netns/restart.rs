//! An agent that is killed, stopped or replaced is not noticed by any connection.

use anyhow::ensure;
use nix::sys::signal::Signal;
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{Family, Frontend, POD1, POD2, POD3},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 60;

fn publish(world: &World) -> anyhow::Result<()> {
    world.publish(&Service::new("steady", SERVICE, &[POD2, POD3]))
}

fn end(agent: Agent, signal: Signal) -> anyhow::Result<()> {
    if signal == Signal::SIGKILL {
        return agent.kill();
    }
    let status = agent.terminate()?;
    ensure!(status.success(), "SIGTERM: {status}");
    Ok(())
}

/// Clients ask without pause while the agent ends and another one starts.
pub(crate) fn under_load(world: &World, signal: Signal, flags: &[&str]) -> anyhow::Result<()> {
    let cluster = Frontend::ClusterIp.of(SERVICE, Family::V4);
    publish(world)?;
    let agent = Agent::start(world, flags)?;
    let mut held = [
        world.hold(Place::Pod(POD1), cluster)?,
        world.hold(Place::Host, Frontend::ClusterIp.of(SERVICE, Family::V6))?,
        world.hold(Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?,
    ];
    let before = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(before.iter().all(|answers| answers.answered() == 1), "{before:?}");
    let loads = [
        world.load(Place::Pod(POD1), Mode::Tcp, cluster)?,
        world.load(Place::Outside, Mode::Udp, Frontend::LoadBalancer.of(SERVICE, Family::V6))?,
    ];
    let flows = world.status()?.flows;
    until("load", PATIENCE, || Ok((world.status()?.flows > flows + 20).then_some(())))?;

    end(agent, signal)?;
    let while_nobody_runs = world.ask(Place::Host, Mode::Tcp, cluster, 20)?;
    let _next = Agent::start(world, flags)?;
    let with_the_next = world.ask(Place::Host, Mode::Tcp, cluster, 20)?;

    for answers in [while_nobody_runs, with_the_next] {
        ensure!(answers.answered() == 20, "from the host: {answers:?}");
    }
    for load in loads {
        let answers = load.finish()?;
        ensure!(answers.failed() == 0 && answers.answered() > 20, "under load: {answers:?}");
    }
    let after = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(after == before, "connections that were open: {before:?}, then {after:?}");
    Ok(())
}

/// With nothing else going on, the next agent changes nothing but the programs.
fn in_silence(world: &World, signal: Signal) -> anyhow::Result<()> {
    let cluster = Frontend::ClusterIp.of(SERVICE, Family::V4);
    publish(world)?;
    let agent = Agent::start(world, &["--socket-lb", "off"])?;
    let mut held = world.hold(Place::Pod(POD1), cluster)?;
    let before = held.ask()?;
    world.ask(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, Family::V6), 5)?;
    let (flows, loaded) = (world.status()?.flows, world.loaded()?);
    ensure!(flows > 0 && !loaded.links.is_empty(), "{flows} flows, {loaded:?}");

    end(agent, signal)?;
    ensure!(!world.status()?.synced, "in sync without an agent");
    let next = Agent::start(world, &["--socket-lb", "off"])?;

    let (status, reloaded) = (world.status()?, world.loaded()?);
    ensure!(status.writes == 0, "{} writes for nothing new\n{}", status.writes, next.log().text());
    ensure!(status.flows == flows, "{flows} flows, then {}", status.flows);
    ensure!(reloaded.maps == loaded.maps, "other maps");
    ensure!(reloaded.link_ids() == loaded.link_ids(), "other links: {loaded:?}, then {reloaded:?}");
    let kept = loaded.links.iter().find(|(name, (_, program))| reloaded.links[*name].1 == *program);
    ensure!(kept.is_none(), "an old program is still attached: {kept:?}");
    until("the end of the old programs", PATIENCE, || {
        Ok(loaded.remaining()?.programs.is_empty().then_some(()))
    })?;
    ensure!(held.ask()? == before, "an open connection has changed its backend");
    Ok(())
}

#[test]
fn a_kill_is_not_noticed_by_packets() -> anyhow::Result<()> {
    world(|world| under_load(world, Signal::SIGKILL, &["--socket-lb", "off"]))
}

#[test]
fn a_kill_is_not_noticed_by_sockets() -> anyhow::Result<()> {
    world(|world| under_load(world, Signal::SIGKILL, &["--socket-lb", "all"]))
}

#[test]
fn a_stop_is_not_noticed() -> anyhow::Result<()> {
    world(|world| under_load(world, Signal::SIGTERM, &["--socket-lb", "off"]))
}

#[test]
fn a_restart_after_a_kill_changes_nothing_but_programs() -> anyhow::Result<()> {
    world(|world| in_silence(world, Signal::SIGKILL))
}

#[test]
fn a_restart_after_a_stop_changes_nothing_but_programs() -> anyhow::Result<()> {
    world(|world| in_silence(world, Signal::SIGTERM))
}

#[test]
fn no_connect_passes_a_hook_without_a_program_in_many_restarts() -> anyhow::Result<()> {
    world(|world| {
        publish(world)?;
        let flags = ["--socket-lb", "all"];
        let mut agent = Agent::start(world, &flags)?;
        // Nothing but a socket's hook translates for the node's processes here.
        let loads = [
            world.load(Place::Host, Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4))?,
            world.load(Place::Host, Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V6))?,
            world.load(Place::Host, Mode::SendTo, Frontend::ClusterIp.of(SERVICE, Family::V4))?,
        ];
        for round in 0..5 {
            end(agent, if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM })?;
            agent = Agent::start(world, &flags)?;
        }
        for load in loads {
            let answers = load.finish()?;
            ensure!(answers.failed() == 0 && answers.answered() > 100, "{answers:?}");
        }
        Ok(())
    })
}
