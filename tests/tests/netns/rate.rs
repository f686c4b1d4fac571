//! Services that take so many new flows in a second.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{Family, Frontend, POD1, POD2},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

/// Takes what the agent's flags say, and any number.
const CAPPED: u8 = 161;
const FREE: u8 = 162;

const CAP: &str = "svclb.io/max-new-flows-per-second";

fn publish(world: &World) -> anyhow::Result<()> {
    world.publish(&Service::new("capped", CAPPED, &[POD2]))?;
    world.publish(&Service::new("free", FREE, &[POD2]).annotation(CAP, "0"))
}

fn ask(held: &mut [Held], count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        for held in &mut *held {
            let answers = held.ask()?;
            ensure!(answers.answered() == 1, "what was open: {answers:?}");
        }
    }
    Ok(())
}

/// Asks until a new flow is turned away; then what was there goes on, and another Service takes everybody.
fn others_are_served(world: &World, place: Place, flags: &[&str]) -> anyhow::Result<()> {
    publish(world)?;
    let flags = [flags, &["--max-new-flows-per-second", "1"]].concat();
    let _agent = Agent::start(world, &flags)?;
    for family in Family::ALL {
        let (capped, free) = (Frontend::NodePort.of(CAPPED, family), Frontend::NodePort.of(FREE, family));
        let mut held = Vec::new();
        // Who is turned away comes again.
        until("a connection", PATIENCE, || {
            let mut one = world.hold(place, capped)?;
            let is_open = one.ask().is_ok_and(|answers| answers.answered() == 1);
            held.extend(is_open.then_some(one));
            Ok((!held.is_empty()).then_some(()))
        })?;
        until("a socket", PATIENCE, || {
            let mut one = world.hold_udp(place, capped)?;
            let is_open = one.ask()?.answered() == 1;
            if is_open {
                held.push(one);
            }
            Ok(is_open.then_some(()))
        })?;
        let before = world.drops("rate_limited")?;
        until("one too many", PATIENCE, || {
            world.ask(place, Mode::Tcp, capped, 3)?;
            Ok((world.drops("rate_limited")? > before).then_some(()))
        })?;
        ask(&mut held, 20)?;
        for mode in Mode::ALL {
            let answers = world.ask(place, mode, free, 30)?;
            ensure!(answers.answered() == 30, "{family:?}, {mode:?}: {answers:?}");
        }
    }
    Ok(())
}

#[test]
fn a_cap_turns_new_flows_away_and_no_others_by_packets() -> anyhow::Result<()> {
    world(|world| others_are_served(world, Place::Outside, &["--socket-lb", "off"]))
}

#[test]
fn a_cap_turns_new_flows_away_and_no_others_at_sockets() -> anyhow::Result<()> {
    world(|world| others_are_served(world, Place::Host, &[]))
}

#[test]
fn a_call_beyond_the_cap_is_refused_at_once() -> anyhow::Result<()> {
    world(|world| {
        let service = Service::new("capped", CAPPED, &[POD2]);
        world.publish(&service.clone().annotation(CAP, "1"))?;
        let _agent = Agent::start(world, &[])?;
        let to = Frontend::ClusterIp.of(CAPPED, Family::V4);
        until("a refusal", PATIENCE, || {
            let answers = world.ask(Place::Host, Mode::Tcp, to, 20)?;
            ensure!(answers.errors.keys().all(|error| error == "ECONNREFUSED"), "{answers:?}");
            Ok((answers.failed() > 0).then_some(()))
        })?;
        let pods = world.ask(Place::Pod(POD1), Mode::SendTo, to, 5)?;
        ensure!(pods.errors.keys().all(|error| error == "ECONNREFUSED"), "{pods:?}");
        // Who is without a cap again is so at once.
        world.publish(&service)?;
        until("no cap", PATIENCE, || {
            Ok((world.ask(Place::Host, Mode::Tcp, to, 50)?.answered() == 50).then_some(()))
        })?;
        Ok(())
    })
}
