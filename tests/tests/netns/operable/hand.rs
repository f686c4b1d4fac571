//! Somebody takes svclb's programs away, or its agent.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, ensure};
use nix::net::if_::if_nametoindex;
use svclb::{datapath::pins::Pins, sys::link};
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2, UPLINK},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

/// Detaches what is pinned under that name, as bpftool link detach does.
fn detach(world: &World, pin: &str) -> anyhow::Result<()> {
    let path = Pins::new(world.bpffs(&NODE1)).link(pin);
    world.namespace(NODE1.name).run(move || {
        let link = link::open(&path).with_context(|| path.display().to_string())?;
        Ok(link::detach(link.as_fd())?)
    })?
}

fn uplink(world: &World) -> anyhow::Result<u32> {
    Ok(world.namespace(NODE1.name).run(|| if_nametoindex(UPLINK))??)
}

#[test]
fn a_program_that_was_detached_is_named() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 33, &[POD2]))?;
        let _agent = Agent::start(world, &["--self-probe=false"])?;
        super::healthy(world)?;
        let index = uplink(world)?;
        for (pin, place) in [
            (format!("tcx_egress_{index}"), format!("{UPLINK} egress")),
            ("cgroup_connect4".to_owned(), "cgroup connect4".to_owned()),
        ] {
            detach(world, &pin)?;
            let (problem, _) = super::problem(world, "detached", &place)?;
            ensure!(problem.severity == "error", "{problem:?}");
        }
        let text = super::screen(world)?;
        ensure!(text.contains("detached") && text.contains(&format!("{UPLINK} egress")), "{text}");
        Ok(())
    })
}

#[test]
fn a_filter_that_was_removed_is_named() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 41, &[POD2]))?;
        let _agent = Agent::start(world, &["--tc", "clsact", "--self-probe=false"])?;
        super::healthy(world)?;
        world.tc(&format!("filter del dev {UPLINK} egress"))?;
        let (problem, _) = super::problem(world, "filter is gone", &format!("{UPLINK} egress"))?;
        ensure!(problem.severity == "error", "{problem:?}");
        Ok(())
    })
}

#[test]
fn what_the_self_probe_misses_is_attached_again() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 34, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        super::healthy(world)?;
        detach(world, &format!("tcx_ingress_{}", uplink(world)?))?;
        super::problem(world, "detached", &format!("{UPLINK} ingress"))?;
        super::healthy(world).with_context(|| agent.log().text())?;
        Ok(())
    })
}

#[test]
fn an_agent_that_is_away_is_the_first_thing_to_know() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 35, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        until("a healthy node", PATIENCE, || Ok(world.status()?.healthy.then_some(())))?;
        agent.kill()?;
        let (problem, status) = super::problem(world, "does not run", "agent")?;
        ensure!(problem.severity == "error" && status.agent.is_none(), "{status:?}");
        let text = super::screen(world)?;
        ensure!(text.lines().nth(1).is_some_and(|line| line.contains("agent")), "{text}");
        Ok(())
    })
}
