//! Services of SCTP and the loopback device, which takes no SCTP to see.

use std::fs;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD2},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

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

#[test]
fn programs_are_on_loopback_while_a_service_of_sctp_needs_them() -> anyhow::Result<()> {
    world(|world| {
        let service = Service::new("streams", SERVICE, &[POD2]);
        let publish = |to: &str| {
            world.publish_text(
                "streams.yaml",
                &service.yaml().replace("protocol: UDP", &format!("protocol: {to}")),
            )
        };
        let before = sysctls(world)?;
        publish("UDP")?;
        let agent = Agent::start(world, &["--socket-lb", "host"])?;
        ensure!(!is_on_loopback(world)?, "without SCTP: {}", agent.log().text());
        for (protocol, wanted) in [("SCTP", true), ("UDP", false), ("SCTP", true)] {
            publish(protocol)?;
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
