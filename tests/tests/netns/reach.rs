//! Who reaches what: every place, every kind of frontend, TCP and UDP, both families.

use std::collections::BTreeSet;

use anyhow::ensure;
use svclb_tests::{
    netns::{
        Agent, Place, World,
        client::Mode,
        layout::{CLIENT, Family, Frontend, NODE1, POD1, POD2, POD3},
        manifest::Service,
    },
    probe::Answers,
};

use crate::support::world;

/// Requests per case: few enough for all cases to take seconds.
const REQUESTS: u32 = 6;

/// The Service behind which are a pod of this node and one of the other.
const SERVICE: u8 = 10;

/// Whether a place may expect an answer.
pub(crate) fn is_promised(place: Place, frontend: Frontend) -> bool {
    !matches!(
        (place, frontend),
        // Nobody outside routes to cluster addresses; a loopback address is everybody's own.
        (Place::Outside, Frontend::ClusterIp)
            | (Place::Pod(_) | Place::Outside, Frontend::NodePortOnLoopback)
    )
}

/// The answers that may come: each pod with the address under which it sees the client.
fn expected(place: Place, family: Family) -> BTreeSet<String> {
    let [near, far] = match place {
        Place::Pod(pod) => [pod, pod],
        Place::Host => [NODE1, NODE1],
        // What another node answers has to come back by this one.
        Place::Outside => [CLIENT, NODE1],
    };
    [(POD2, near), (POD3, far)].map(|(pod, seen)| format!("{} {}", pod.name, seen.address(family))).into()
}

/// What is wrong with the answers, if anything.
fn fault(answers: &Answers, place: Place, frontend: Frontend, family: Family) -> Option<String> {
    let (to, expected) = (frontend.of(SERVICE, family).to_string(), expected(place, family));
    let is_right = answers.answered() == REQUESTS
        && answers.failed() == 0
        && answers.peers.keys().all(|peer| *peer == to)
        && answers.lines.keys().all(|line| expected.contains(line));
    (!is_right).then(|| format!("{place:?} to {frontend:?} {to}: {answers:?}, expected {expected:?}"))
}

/// Asks from everywhere for everything.
pub(crate) fn reach(world: &World, flags: &[&str]) -> anyhow::Result<()> {
    world.publish(&Service::new("echo", SERVICE, &[POD2, POD3]))?;
    let agent = Agent::start(world, flags)?;
    let mut faults = Vec::new();
    for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
        let mut pods = BTreeSet::new();
        for frontend in Frontend::ALL.into_iter().filter(|frontend| is_promised(place, *frontend)) {
            for family in Family::ALL {
                for mode in Mode::ALL {
                    let answers = world.ask(place, mode, frontend.of(SERVICE, family), REQUESTS)?;
                    faults.extend(
                        fault(&answers, place, frontend, family).map(|fault| format!("{mode:?} {fault}")),
                    );
                    pods.extend(answers.pods.into_keys());
                }
            }
        }
        ensure!(faults.len() > 3 || pods.len() == 2, "{place:?} was served by {pods:?} alone");
    }
    let log = agent.log().text();
    ensure!(faults.is_empty(), "{}\n{} cases failed\n{log}", faults.join("\n"), faults.len());
    Ok(())
}

#[test]
fn everybody_reaches_every_frontend_with_all_sockets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, &["--socket-lb", "all"]))
}

#[test]
fn everybody_reaches_every_frontend_with_host_sockets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, &["--socket-lb", "host"]))
}

#[test]
fn everybody_reaches_every_frontend_with_packets_translated() -> anyhow::Result<()> {
    world(|world| reach(world, &["--socket-lb", "off"]))
}

#[test]
fn an_ordinary_client_is_served() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("echo", SERVICE, &[POD2, POD3]))?;
        let _agent = Agent::start(world, &[])?;
        for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
            for family in Family::ALL {
                let output = world.curl(place, Frontend::LoadBalancer.of(SERVICE, family))?;
                let body = String::from_utf8_lossy(&output.stdout);
                ensure!(body.starts_with("pod"), "{place:?} {family:?}: {output:?}");
            }
        }
        Ok(())
    })
}
