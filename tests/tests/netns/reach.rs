//! Who reaches what: every place, every kind of frontend, TCP and UDP, both families.

use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, POD1, POD2, POD3},
    manifest::Service,
};

use crate::support::world;

/// Requests per case: few enough for all cases to take seconds.
const REQUESTS: u32 = 6;

/// The Service behind which are a pod of this node and one of the other.
const SERVICE: u8 = 10;

/// Whether a place may expect an answer.
fn is_promised(place: Place, frontend: Frontend, family: Family, socket_lb: &str) -> bool {
    match (place, frontend) {
        // Nobody outside routes to cluster addresses; a loopback address is everybody's own.
        (Place::Outside, Frontend::ClusterIp)
        | (Place::Pod(_) | Place::Outside, Frontend::NodePortOnLoopback) => false,
        // The kernel takes no packet to ::1 that another device has delivered, so that
        // per-packet translation cannot serve it.
        (Place::Host, Frontend::NodePortOnLoopback) => family == Family::V4 || socket_lb != "off",
        _ => true,
    }
}

fn reach(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("echo", SERVICE, &[POD2, POD3]))?;
    let agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let mut faults = Vec::new();
    for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
        for frontend in Frontend::ALL {
            for family in
                Family::ALL.into_iter().filter(|family| is_promised(place, frontend, *family, socket_lb))
            {
                for mode in Mode::ALL {
                    let to = frontend.of(SERVICE, family);
                    let answers = world.ask(place, mode, to, REQUESTS)?;
                    let is_named_as_asked = answers.peers.keys().all(|peer| *peer == to.to_string());
                    if answers.answered() != REQUESTS || answers.failed() != 0 || !is_named_as_asked {
                        faults.push(format!("{place:?} {mode:?} {frontend:?} {to}: {answers:?}"));
                    }
                }
            }
        }
    }
    let log = agent.log().text();
    anyhow::ensure!(faults.is_empty(), "{}\n{} cases failed\n{log}", faults.join("\n"), faults.len());
    Ok(())
}

#[test]
fn everybody_reaches_every_frontend_with_all_sockets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, "all"))
}

#[test]
fn everybody_reaches_every_frontend_with_host_sockets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, "host"))
}

#[test]
fn everybody_reaches_every_frontend_with_packets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, "off"))
}
