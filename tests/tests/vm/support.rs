//! What all tests of this ring begin with.

use anyhow::ensure;
use svclb_tests::netns::{
    self, Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, POD1},
    wait::{PATIENCE, until},
    world::PodNetwork,
};

/// The client's binary.
const PROBE: &str = env!("CARGO_BIN_EXE_svclb-probe");

/// Where clients are.
pub(crate) const PLACES: [Place; 3] = [Place::Pod(POD1), Place::Host, Place::Outside];

/// Runs a test in a world of its own, whose pods are on a veth each.
pub(crate) fn world(body: impl FnOnce(&mut World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    netns::test(PROBE, |ground| body(&mut World::build(ground, PodNetwork::PointToPoint)?))
}

/// The kinds of addresses by which a Service is reached from a place. Nobody outside routes to cluster addresses.
pub(crate) fn frontends(place: Place) -> &'static [Frontend] {
    const ALL: [Frontend; 4] =
        [Frontend::NodePort, Frontend::ExternalIp, Frontend::LoadBalancer, Frontend::ClusterIp];
    if place == Place::Outside { &ALL[..3] } else { &ALL }
}

/// Asks for a Service by each of its addresses until the backend answers, then a few times more, without a failure.
pub(crate) fn served(
    world: &World,
    agent: &Agent,
    place: Place,
    service: u8,
    modes: &[Mode],
    backend: &Machine,
) -> anyhow::Result<()> {
    for frontend in frontends(place) {
        for family in Family::ALL {
            let to = frontend.of(service, family);
            for mode in modes {
                let asked = || format!("{mode:?} from {place:?} to {frontend:?} {to}, {}", backend.name);
                until(&asked(), PATIENCE, || {
                    Ok(world.ask(place, *mode, to, 1)?.pods.contains_key(backend.name).then_some(()))
                })
                .map_err(|error| error.context(agent.log().text()))?;
                let answers = world.ask(place, *mode, to, 4)?;
                let is_right = answers.pods.get(backend.name) == Some(&4)
                    && answers.peers.keys().all(|peer| *peer == to.to_string());
                ensure!(is_right, "{}: {answers:?}\n{}", asked(), agent.log().text());
            }
        }
    }
    Ok(())
}

/// The lines of `svclb check`.
pub(crate) fn told(world: &World, flags: &[&str]) -> anyhow::Result<Vec<String>> {
    let flags: Vec<&str> = ["check"].iter().chain(flags).copied().collect();
    let output = world.svclb(&flags)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
