//! Pods that share a bridge, and pods that reach themselves.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, POD1, POD2},
    manifest::Service,
    world::PodNetwork,
};

use crate::support::world_with;

const SERVICE: u8 = 20;

/// Asks from the first pod for a Service that has only this backend.
fn served_by(world: &World, backend: Machine, flags: &[&str]) -> anyhow::Result<()> {
    world.publish(&Service::new("only", SERVICE, &[backend]))?;
    let agent = Agent::start(world, flags)?;
    for frontend in [Frontend::ClusterIp, Frontend::NodePort, Frontend::LoadBalancer] {
        for family in Family::ALL {
            for mode in Mode::ALL {
                let to = frontend.of(SERVICE, family);
                let answers = world.ask(Place::Pod(POD1), mode, to, 4)?;
                let is_right = answers.pods.get(backend.name) == Some(&4)
                    && answers.peers.keys().all(|peer| *peer == to.to_string());
                ensure!(is_right, "{mode:?} {to} {flags:?}: {answers:?}\n{}", agent.log().text());
            }
        }
    }
    Ok(())
}

// The reply goes from pod to pod over the bridge and never passes the node's IP layer.
#[test]
fn pods_on_a_bridge_reach_each_other_by_packets() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, POD2, &["--socket-lb", "off"]))
}

#[test]
fn pods_on_a_bridge_reach_each_other_by_sockets() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, POD2, &["--socket-lb", "all"]))
}

#[test]
fn a_pod_on_a_bridge_reaches_itself() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, POD1, &["--socket-lb", "off"]))
}

#[test]
fn a_pod_on_a_veth_of_its_own_reaches_itself() -> anyhow::Result<()> {
    world_with(PodNetwork::PointToPoint, |world| served_by(world, POD1, &["--socket-lb", "off"]))
}

#[test]
fn a_pod_reaches_itself_by_its_socket() -> anyhow::Result<()> {
    world_with(PodNetwork::PointToPoint, |world| served_by(world, POD1, &["--socket-lb", "all"]))
}
