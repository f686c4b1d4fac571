//! Requests and answers that take many packets, and packets with options.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, NODE1, POD1, POD2, POD3},
    manifest::Service,
};

use crate::support::world;

const REQUESTS: u32 = 3;

/// Five fragments, and as many as there can be.
const SIZES: [u32; 2] = [8 << 10, 60 << 10];

/// What is asked for: the name and number of a Service, and who is behind it.
const NEAR: (&str, u8, Machine) = ("near", 150, POD2);
const FAR: (&str, u8, Machine) = ("far", 151, POD3);

fn publish(world: &World) -> anyhow::Result<()> {
    for (name, number, pod) in [NEAR, FAR] {
        world.publish(&Service::new(name, number, &[pod]))?;
    }
    Ok(())
}

/// Asks every Service in both families, and tells what went wrong.
fn faults(world: &World, place: Place, frontend: Frontend, modes: &[Mode]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (_, number, pod) in [NEAR, FAR] {
        for family in Family::ALL {
            for mode in modes {
                let to = frontend.of(number, family);
                let answers = world.ask(place, *mode, to, REQUESTS)?;
                let is_right = answers.pods.keys().eq([pod.name]) && answers.answered() == REQUESTS;
                if !is_right || answers.failed() != 0 {
                    faults.push(format!("{place:?} to {frontend:?} {to} by {mode:?}: {answers:?}"));
                }
            }
        }
    }
    Ok(faults)
}

fn ask(flags: &[&str], cases: &[(Place, Frontend)], modes: &[Mode]) -> anyhow::Result<()> {
    world(|world| {
        publish(world)?;
        let agent = Agent::start(world, flags)?;
        let mut all = Vec::new();
        for (place, frontend) in cases {
            all.extend(faults(world, *place, *frontend, modes)?);
        }
        ensure!(all.is_empty(), "{}\n{}", all.join("\n"), agent.log().text());
        Ok(())
    })
}

const EVERYWHERE: [(Place, Frontend); 5] = [
    (Place::Pod(POD1), Frontend::ClusterIp),
    (Place::Pod(POD1), Frontend::NodePort),
    (Place::Host, Frontend::ClusterIp),
    (Place::Outside, Frontend::NodePort),
    (Place::Outside, Frontend::LoadBalancer),
];

#[test]
fn large_datagrams_arrive_whole_by_packets() -> anyhow::Result<()> {
    ask(&["--socket-lb", "off"], &EVERYWHERE, &SIZES.map(Mode::Large))
}

#[test]
fn large_datagrams_arrive_whole_by_sockets() -> anyhow::Result<()> {
    ask(&["--socket-lb", "all"], &EVERYWHERE, &SIZES.map(Mode::Large))
}

/// A packet of its own, and one that is cut.
#[test]
fn options_and_extension_headers_arrive() -> anyhow::Result<()> {
    ask(&["--socket-lb", "off"], &EVERYWHERE, &[Mode::Options(100), Mode::Options(3000)])
}

/// A process of the node answers, to whose own stack fragments are delivered.
#[test]
fn large_datagrams_reach_a_backend_in_the_nodes_own_network() -> anyhow::Result<()> {
    world(|world| {
        let _server = svclb_tests::netns::server::Server::start(world.namespace(NODE1.name))?;
        world.publish(&Service::new("host", 152, &[NODE1]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        for (place, frontend) in EVERYWHERE {
            for family in Family::ALL {
                for mode in SIZES.map(Mode::Large) {
                    let to = frontend.of(152, family);
                    let answers = world.ask(place, mode, to, REQUESTS)?;
                    let is_right = answers.pods.keys().eq([NODE1.name]) && answers.answered() == REQUESTS;
                    ensure!(is_right, "{place:?} to {to} by {mode:?}: {answers:?}");
                }
            }
        }
        Ok(())
    })
}
