//! Services of SCTP and the loopback device, which takes no SCTP to see.

use std::fs;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    kernel::Loaded,
    layout::{Family, Frontend, NODE1, POD2},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::{apiserver::serve, support::world};

const SERVICE: u8 = 71;

/// Sysctls of the loopback device that the agent sets, as they are.
fn sysctls(world: &World) -> anyhow::Result<[String; 3]> {
    let read = |name| fs::read_to_string(format!("/proc/sys/net/ipv4/conf/lo/{name}"));
    let [a, b, c] =
        world.namespace(NODE1.name).run(move || ["accept_local", "route_localnet", "rp_filter"].map(read))?;
    Ok([a?, b?, c?])
}

/// Whether programs are on the loopback device.
fn is_on_loopback(world: &World) -> anyhow::Result<bool> {
    Ok(world.status()?.attached.iter().any(|attached| attached.device == "lo"))
}

fn publish(world: &World, protocol: &str) -> anyhow::Result<()> {
    let service = Service::new("streams", SERVICE, &[POD2]).yaml();
    world.publish_text("streams.yaml", &service.replace("protocol: UDP", &format!("protocol: {protocol}")))
}

/// Waits until every link has a program of another agent, and asserts that each link is the one that it was.
fn taken_over(world: &World, before: &Loaded, agent: &Agent) -> anyhow::Result<()> {
    let after = until("programs of the next agent", PATIENCE * 2, || {
        let now = world.loaded()?;
        let is_new = |name: &String| before.links.get(name).is_none_or(|old| old.1 != now.links[name].1);
        Ok(now.links.keys().all(is_new).then_some(now))
    })?;
    let (before, after) = (before.link_ids(), after.0.link_ids());
    ensure!(after == before, "other links: {before:?}, then {after:?}\n{}", agent.log().text());
    Ok(())
}

#[test]
fn programs_are_on_loopback_while_a_service_of_sctp_needs_them() -> anyhow::Result<()> {
    world(|world| {
        let before = sysctls(world)?;
        publish(world, "UDP")?;
        let agent = Agent::start(world, &["--socket-lb", "host"])?;
        ensure!(!is_on_loopback(world)?, "without SCTP: {}", agent.log().text());
        for (protocol, wanted) in [("SCTP", true), ("UDP", false), ("SCTP", true)] {
            publish(world, protocol)?;
            until(protocol, PATIENCE, || Ok((is_on_loopback(world)? == wanted).then_some(())))?;
            let now = sysctls(world)?;
            ensure!((now != before) == wanted, "{protocol}: {before:?} became {now:?}");
            // others are served at the socket as before
            for family in Family::ALL {
                let to = Frontend::NodePort.of(SERVICE, family);
                let answers = world.ask(Place::Host, Mode::Tcp, to, 4)?;
                ensure!(answers.answered() == 4, "{protocol}, {to}: {answers:?}");
            }
        }
        Ok(())
    })
}

/// An agent that hears nothing of Services, or not of all of them, keeps what the one before it had.
#[test]
fn programs_stay_on_loopback_when_an_agent_starts_whose_source_is_silent() -> anyhow::Result<()> {
    world(|world| {
        let flags = ["--socket-lb", "host"];
        let before = sysctls(world)?;
        publish(world, "SCTP")?;
        Agent::start(world, &flags)?.kill()?;
        let (opened, loaded) = (sysctls(world)?, world.loaded()?);
        ensure!(is_on_loopback(world)? && opened != before, "with SCTP: {before:?}, then {opened:?}");

        let (mut server, kubeconfig) = serve(world)?;
        server.stop()?;
        let agent = Agent::launch_with_api(world, &kubeconfig, &flags)?;
        taken_over(world, &loaded, &agent)?;
        let now = sysctls(world)?;
        ensure!(now == opened, "without an API server: {opened:?}, then {now:?}\n{}", agent.log().text());
        agent.kill()?;

        let loaded = world.loaded()?;
        fs::write(world.manifests().join("streams.yaml"), "kind: [")?;
        let agent = Agent::launch(world, &NODE1, &flags)?;
        taken_over(world, &loaded, &agent)?;
        let now = sysctls(world)?;
        ensure!(now == opened, "with a broken file: {opened:?}, then {now:?}\n{}", agent.log().text());

        // What it is told in the end counts.
        publish(world, "UDP")?;
        until(
            "a loopback device without programs",
            PATIENCE,
            || Ok((!is_on_loopback(world)?).then_some(())),
        )?;
        let now = sysctls(world)?;
        ensure!(now == before, "without SCTP: {before:?} became {now:?}");
        Ok(())
    })
}
