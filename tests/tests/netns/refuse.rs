//! A Service without backends refuses at once, and counts it.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, POD1},
    manifest::Service,
};

use crate::support::world;

const SERVICE: u8 = 40;

/// Fewer than the probe gives up after.
const REQUESTS: u32 = 2;

fn refuses(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("empty", SERVICE, &[]))?;
    let agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let mut asked = 0;
    for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
        // Any frontend that all places reach.
        for frontend in [Frontend::NodePort, Frontend::LoadBalancer] {
            for family in Family::ALL {
                for mode in [Mode::Tcp, Mode::Udp] {
                    let to = frontend.of(SERVICE, family);
                    let answers = world.ask(place, mode, to, REQUESTS)?;
                    let refused = answers.errors.get("ECONNREFUSED").copied().unwrap_or(0);
                    ensure!(
                        refused == REQUESTS && answers.failed() == REQUESTS,
                        "{socket_lb} {place:?} {mode:?} {to}: {answers:?}\n{}",
                        agent.log().text()
                    );
                    asked += u64::from(REQUESTS);
                }
            }
        }
    }
    let counted = world.drops("no_backend")?;
    ensure!(counted == asked, "{asked} requests were refused, {counted} are counted");
    Ok(())
}

#[test]
fn packets_to_nobody_are_refused() -> anyhow::Result<()> {
    world(|world| refuses(world, "off"))
}

#[test]
fn sockets_to_nobody_are_refused() -> anyhow::Result<()> {
    world(|world| refuses(world, "all"))
}

// Backends that go leave a Service that refuses, and come back to one that serves.
#[test]
fn a_service_loses_its_last_backend_and_gets_one() -> anyhow::Result<()> {
    use svclb_tests::netns::wait::{PROMISE, until};

    world(|world| {
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        world.publish(&Service::new("empty", SERVICE, &[POD1]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        ensure!(world.ask(Place::Host, Mode::Tcp, to, 4)?.answered() == 4, "not served before");
        world.publish(&Service::new("empty", SERVICE, &[]))?;
        until("refusal", PROMISE, || {
            let answers = world.ask(Place::Host, Mode::Tcp, to, 1)?;
            Ok(answers.errors.contains_key("ECONNREFUSED").then_some(()))
        })?;
        world.publish(&Service::new("empty", SERVICE, &[POD1]))?;
        until("service", PROMISE, || {
            Ok((world.ask(Place::Host, Mode::Tcp, to, 1)?.answered() == 1).then_some(()))
        })?;
        Ok(())
    })
}
