//! The addresses and ports that backends see, with real connections.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, POD1, POD2, POD3},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 110;

fn few_ports(world: &World) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD3]))?;
    let _agent = Agent::start(world, &["--snat-ports=20000-20002"])?;
    for family in Family::ALL {
        let to = Frontend::NodePort.of(SERVICE, family);
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut client = world.hold(Place::Outside, to)?;
            ensure!(client.ask()?.answered() == 1, "{family:?}: a port is left");
            held.push(client);
        }
        let before = world.drops("ports_exhausted")?;
        let answers = world.ask(Place::Outside, Mode::Tcp, to, 1)?;
        ensure!(answers.errors.contains_key("ECONNREFUSED"), "{family:?}: {answers:?}");
        ensure!(world.drops("ports_exhausted")? > before, "the refusal is not counted");
        for client in &mut held {
            ensure!(client.ask()?.answered() == 1, "{family:?}: a connection was disturbed");
        }
        held.pop();
        until("a port that is free again", PROMISE, || {
            Ok((world.ask(Place::Outside, Mode::Tcp, to, 1)?.answered() == 1).then_some(()))
        })?;
    }
    Ok(())
}

/// Three source ports carry three connections to a backend on another node; the fourth client is refused, and served
/// when one has ended.
#[test]
fn clients_are_refused_when_every_source_port_is_taken() -> anyhow::Result<()> {
    world(|world| few_ports(world))
}

/// Everybody is served, and what pods and outside clients send to external addresses comes from the node.
fn masquerades(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("compat", SERVICE, &[POD2, POD3]))?;
    let _agent = Agent::start(world, &["--masquerade=compat", "--socket-lb", socket_lb])?;
    for (place, machine) in
        [(Place::Pod(POD1), Some(POD1)), (Place::Host, None), (Place::Outside, Some(CLIENT))]
    {
        for frontend in [Frontend::NodePort, Frontend::ExternalIp] {
            for mode in Mode::ALL {
                let answers = world.ask(place, mode, frontend.of(SERVICE, Family::V4), 8)?;
                ensure!(answers.failed() == 0, "{place:?} {frontend:?} {mode:?}: {answers:?}");
                let own = machine.map(|machine| machine.v4.to_string());
                let is_seen = own.is_some_and(|own| answers.lines.keys().any(|line| line.ends_with(&own)));
                ensure!(
                    !is_seen,
                    "{place:?} {frontend:?} {mode:?}: the client's address is kept: {answers:?}"
                );
            }
        }
    }
    let answers = world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 8)?;
    let own = POD1.v4.to_string();
    let is_kept = answers.failed() == 0 && answers.lines.keys().all(|line| line.ends_with(&own));
    ensure!(is_kept, "a pod at a ClusterIP: {answers:?}");
    Ok(())
}

#[test]
fn compatible_masquerading_with_packets_translated() -> anyhow::Result<()> {
    world(|world| masquerades(world, "off"))
}

#[test]
fn compatible_masquerading_beside_sockets() -> anyhow::Result<()> {
    world(|world| masquerades(world, "all"))
}
