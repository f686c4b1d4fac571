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

/// Asks from a place for a Service that has only this backend.
fn served_by(world: &World, place: Place, backend: Machine, flags: &[&str]) -> anyhow::Result<()> {
    world.publish(&Service::new("only", SERVICE, &[backend]))?;
    let agent = Agent::start(world, flags)?;
    let all = [Frontend::NodePort, Frontend::LoadBalancer, Frontend::ClusterIp];
    // Nobody outside routes to cluster addresses.
    let frontends = if place == Place::Outside { &all[..2] } else { &all[..] };
    for frontend in frontends {
        for family in Family::ALL {
            for mode in Mode::ALL {
                let to = frontend.of(SERVICE, family);
                let answers = world.ask(place, mode, to, 4)?;
                let is_right = answers.pods.get(backend.name) == Some(&4)
                    && answers.peers.keys().all(|peer| *peer == to.to_string());
                ensure!(is_right, "{place:?} {mode:?} {to} {flags:?}: {answers:?}\n{}", agent.log().text());
            }
        }
    }
    Ok(())
}

// The reply goes from pod to pod over the bridge and never passes the node's IP layer.
#[test]
fn pods_on_a_bridge_reach_each_other_by_packets() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, Place::Pod(POD1), POD2, &["--socket-lb", "off"]))
}

#[test]
fn pods_on_a_bridge_reach_each_other_by_sockets() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, Place::Pod(POD1), POD2, &["--socket-lb", "all"]))
}

#[test]
fn a_pod_on_a_bridge_reaches_itself() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| served_by(world, Place::Pod(POD1), POD1, &["--socket-lb", "off"]))
}

#[test]
fn a_pod_on_a_veth_of_its_own_reaches_itself() -> anyhow::Result<()> {
    world_with(PodNetwork::PointToPoint, |world| {
        served_by(world, Place::Pod(POD1), POD1, &["--socket-lb", "off"])
    })
}

#[test]
fn a_pod_reaches_itself_by_its_socket() -> anyhow::Result<()> {
    world_with(PodNetwork::PointToPoint, |world| {
        served_by(world, Place::Pod(POD1), POD1, &["--socket-lb", "all"])
    })
}

// The route to the pod names the bridge, which carries no program; its ports do.
#[test]
fn others_reach_pods_on_a_bridge_by_packets() -> anyhow::Result<()> {
    world_with(PodNetwork::Bridge, |world| {
        served_by(world, Place::Host, POD2, &["--socket-lb", "off"])?;
        served_by(world, Place::Outside, POD2, &["--socket-lb", "off"])
    })
}
