//! Session affinity: a client comes back to its pod by whatever frontend it calls.

use std::collections::BTreeSet;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, POD1, POD2, POD3, POD4},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::{reach::is_promised, support::world};

const SERVICE: u8 = 90;

fn sticky() -> Service {
    Service::new("sticky", SERVICE, &[POD2, POD3, POD4])
        .spec("sessionAffinity: ClientIP")
        .spec("sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } }")
}

fn pods(
    world: &World,
    place: Place,
    mode: Mode,
    frontend: Frontend,
    family: Family,
) -> anyhow::Result<BTreeSet<String>> {
    let answers = world.ask(place, mode, frontend.of(SERVICE, family), 15)?;
    ensure!(answers.failed() == 0, "{place:?} {mode:?} {frontend:?} {family:?}: {answers:?}");
    Ok(answers.pods.into_keys().collect())
}

fn stays(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&sticky())?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
        for family in Family::ALL {
            // Whatever way a datagram goes, by a socket's call or as a packet, it is one service port.
            for modes in [&[Mode::Tcp][..], &[Mode::Udp, Mode::SendTo]] {
                let mut seen = BTreeSet::new();
                // A packet to the loopback address comes from there, so from another client.
                let is_same = |frontend| socket_lb != "off" || frontend != Frontend::NodePortOnLoopback;
                let frontends = Frontend::ALL.into_iter().filter(|frontend| is_promised(place, *frontend));
                for frontend in frontends.filter(|frontend| is_same(*frontend)) {
                    for mode in modes {
                        seen.extend(pods(world, place, *mode, frontend, family)?);
                    }
                }
                ensure!(seen.len() == 1, "{place:?} {modes:?} {family:?} came to {seen:?}");
            }
        }
    }
    // Switched off while it runs, and on again.
    let spread = || {
        let found = pods(world, Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp, Family::V4)?;
        Ok((found.len() == 3).then_some(()))
    };
    world.publish(&Service::new("sticky", SERVICE, &[POD2, POD3, POD4]))?;
    until("all pods", PROMISE, spread)?;
    world.publish(&sticky())?;
    until("one pod", PROMISE, || {
        let found = pods(world, Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp, Family::V4)?;
        Ok((found.len() == 1).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_client_stays_by_packets() -> anyhow::Result<()> {
    world(|world| stays(world, "off"))
}

#[test]
fn a_client_stays_by_sockets() -> anyhow::Result<()> {
    world(|world| stays(world, "all"))
}

#[test]
fn a_client_leaves_a_pod_that_goes() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&sticky())?;
        let _agent = Agent::start(world, &[])?;
        let ask = || pods(world, Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp, Family::V4);
        let first = ask()?;
        let left: Vec<_> = [POD2, POD3, POD4].into_iter().filter(|pod| !first.contains(pod.name)).collect();
        let mut without = Service::new("sticky", SERVICE, &left);
        without = without.spec("sessionAffinity: ClientIP");
        world.publish(&without)?;
        let (second, _) = until("another pod", PROMISE, || {
            let found = ask()?;
            Ok((found.len() == 1 && found != first).then_some(found))
        })?;
        ensure!(ask()? == second, "and it stays there");
        Ok(())
    })
}
