//! Algorithms and weights, as clients see them.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, POD1, POD2, POD3},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 31;

fn service(algorithm: &str, weights: &[(Machine, u8)]) -> Service {
    let pods: Vec<_> = weights.iter().map(|(pod, _)| *pod).collect();
    let weights: Vec<_> = Family::ALL
        .into_iter()
        .flat_map(|family| {
            weights.iter().map(move |(pod, weight)| format!("{}={weight}", pod.address(family)))
        })
        .collect();
    Service::new("chosen", SERVICE, &pods)
        .annotation("svclb.io/algorithm", algorithm)
        .annotation("svclb.io/weights", &weights.join(","))
}

/// How often two pods answer.
fn shares(world: &World, family: Family, requests: u32) -> anyhow::Result<[u32; 2]> {
    let answers =
        world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, family), requests)?;
    ensure!(answers.failed() == 0, "{answers:?}");
    Ok([POD2, POD3].map(|pod| answers.pods.get(pod.name).copied().unwrap_or(0)))
}

#[test]
fn turns_follow_the_weights_of_a_live_service() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service("round-robin", &[(POD2, 3), (POD3, 1)]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        for family in Family::ALL {
            let found = shares(world, family, 40)?;
            ensure!(found == [30, 10], "{family:?}: {found:?}");
        }
        world.publish(&service("round-robin", &[(POD2, 0), (POD3, 1)]))?;
        until("nothing new for what weighs nothing", PROMISE, || {
            Ok((shares(world, Family::V4, 10)? == [0, 10]).then_some(()))
        })?;
        world.publish(&service("source-hash", &[(POD2, 1), (POD3, 1)]))?;
        until("one pod for one client", PROMISE, || {
            Ok(shares(world, Family::V4, 20)?.contains(&20).then_some(()))
        })?;
        Ok(())
    })
}

/// Connections end before the next one begins, so both are idle and weights decide: none of them gets all.
#[test]
fn least_conn_counts_connections_that_end() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service("least-conn", &[(POD2, 1), (POD3, 1)]))?;
        let _agent = Agent::start(world, &[])?;
        for family in Family::ALL {
            let found = shares(world, family, 100)?;
            ensure!(found.iter().all(|share| *share >= 20), "{family:?}: {found:?}");
        }
        Ok(())
    })
}
