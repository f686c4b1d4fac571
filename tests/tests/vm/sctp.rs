//! SCTP between real sockets.

use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{POD1, POD2, POD3, PODS},
    manifest::Service,
    server::Server,
};

use crate::support::{PLACES, served, world};

const SERVICE: u8 = 40;

/// Runs a test in a world whose pods serve SCTP as well.
fn with_sctp(body: impl FnOnce(&World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    world(|world| {
        let servers = PODS.iter().map(|pod| Server::start_sctp(world.namespace(pod.name)));
        let _servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
        body(world)
    })
}

/// A Service of SCTP and TCP in place of UDP and TCP.
fn publish(world: &World, service: &Service) -> anyhow::Result<()> {
    world.publish_text("sctp.yaml", &service.yaml().replace("protocol: UDP", "protocol: SCTP"))
}

fn serves(flags: &[&str]) -> anyhow::Result<()> {
    with_sctp(|world| {
        publish(world, &Service::new("streams", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, flags)?;
        for backend in [POD2, POD3] {
            publish(world, &Service::new("streams", SERVICE, &[backend]))?;
            for place in PLACES {
                served(world, &agent, place, SERVICE, &[Mode::Sctp, Mode::Tcp], &backend)?;
            }
        }
        Ok(())
    })
}

#[test]
fn associations_are_made_from_everywhere() -> anyhow::Result<()> {
    serves(&[])
}

#[test]
fn associations_are_made_by_filters() -> anyhow::Result<()> {
    serves(&["--tc", "clsact", "--socket-lb", "off"])
}

#[test]
fn a_pod_reaches_itself() -> anyhow::Result<()> {
    with_sctp(|world| {
        publish(world, &Service::new("streams", SERVICE, &[POD1]))?;
        let agent = Agent::start(world, &[])?;
        served(world, &agent, Place::Pod(POD1), SERVICE, &[Mode::Sctp], &POD1)
    })
}
