//! Traffic policies: who may be served by which pods, and what happens where there is none.

use std::collections::BTreeSet;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, Machine, POD1, POD2, POD3, POD4},
    manifest::{Service, State},
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 80;

/// Enough to see two pods with certainty: one of two is missed once in 500,000 times.
const MANY: u32 = 20;

const EXTERNAL: [Frontend; 3] = [Frontend::NodePort, Frontend::ExternalIp, Frontend::LoadBalancer];

fn service(pods: &[Machine]) -> Service {
    Service::new("policy", SERVICE, pods)
}

/// Who answers, and nobody fails.
fn pods(world: &World, place: Place, frontend: Frontend, family: Family) -> anyhow::Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    for mode in Mode::ALL {
        // One unconnected socket is one flow, so it cannot show how flows are spread.
        let answers = world.ask(place, mode, frontend.of(SERVICE, family), MANY)?;
        ensure!(answers.failed() == 0, "{place:?} {frontend:?} {family:?} {mode:?}: {answers:?}");
        pods.extend(answers.pods.into_keys());
    }
    Ok(pods)
}

fn expect(world: &World, place: Place, frontend: Frontend, wanted: &[Machine]) -> anyhow::Result<()> {
    let wanted: BTreeSet<_> = wanted.iter().map(|pod| pod.name.to_owned()).collect();
    for family in Family::ALL {
        let found = pods(world, place, frontend, family)?;
        ensure!(found == wanted, "{place:?} {frontend:?} {family:?}: {found:?}, wanted {wanted:?}");
    }
    Ok(())
}

/// Silence: no answer, and nobody says so.
fn silent(world: &World, place: Place, frontend: Frontend) -> anyhow::Result<()> {
    for family in Family::ALL {
        let answers = world.ask(place, Mode::Tcp, frontend.of(SERVICE, family), 1)?;
        let is_silent = answers.failed() == 1 && !answers.errors.contains_key("ECONNREFUSED");
        ensure!(is_silent, "{place:?} {frontend:?} {family:?}: {answers:?}");
    }
    Ok(())
}

fn internal_local(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    let local = |pods: &[Machine]| service(pods).spec("internalTrafficPolicy: Local");
    world.publish(&local(&[POD2, POD3]))?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    for place in [Place::Pod(POD1), Place::Host] {
        expect(world, place, Frontend::ClusterIp, &[POD2])?;
        // The policy is of the cluster address alone.
        expect(world, place, Frontend::NodePort, &[POD2, POD3])?;
    }
    world.publish(&local(&[POD3]))?;
    until("no pod of this node", PROMISE, || {
        let answers =
            world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 1)?;
        Ok((answers.answered() == 0).then_some(()))
    })?;
    silent(world, Place::Pod(POD1), Frontend::ClusterIp)?;
    silent(world, Place::Host, Frontend::ClusterIp)?;
    ensure!(world.drops("no_local_backend")? > 0, "the drops are not counted");
    world.publish(&local(&[]))?;
    until("nobody at all", PROMISE, || {
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?;
        Ok(answers.errors.contains_key("ECONNREFUSED").then_some(()))
    })?;
    Ok(())
}

#[test]
fn internal_local_keeps_packets_on_the_node() -> anyhow::Result<()> {
    world(|world| internal_local(world, "off"))
}

#[test]
fn internal_local_keeps_sockets_on_the_node() -> anyhow::Result<()> {
    world(|world| internal_local(world, "all"))
}

fn external_local(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    let local = |pods: &[Machine]| service(pods).spec("externalTrafficPolicy: Local");
    world.publish(&local(&[POD2, POD3]))?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    for frontend in EXTERNAL {
        expect(world, Place::Outside, frontend, &[POD2])?;
        for family in Family::ALL {
            let answers = world.ask(Place::Outside, Mode::Tcp, frontend.of(SERVICE, family), 4)?;
            let seen = format!("pod2 {}", CLIENT.address(family));
            ensure!(answers.lines.keys().eq([&seen]), "the client's address is kept: {answers:?}");
        }
        for place in [Place::Pod(POD1), Place::Host] {
            expect(world, place, frontend, &[POD2, POD3])?;
        }
    }
    expect(world, Place::Pod(POD1), Frontend::ClusterIp, &[POD2, POD3])?;

    world.publish(&local(&[POD3, POD4]))?;
    until("no pod of this node", PROMISE, || {
        let answers =
            world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::NodePort.of(SERVICE, Family::V4), 12)?;
        Ok((answers.failed() == 0 && !answers.pods.contains_key("pod2")).then_some(()))
    })?;
    for frontend in EXTERNAL {
        silent(world, Place::Outside, frontend)?;
        for place in [Place::Pod(POD1), Place::Host] {
            // As if they had gone out to the load balancer and come back.
            expect(world, place, frontend, &[POD3, POD4])?;
        }
        for family in Family::ALL {
            let answers = world.ask(Place::Pod(POD1), Mode::Tcp, frontend.of(SERVICE, family), 4)?;
            let own = POD1.address(family).to_string();
            ensure!(answers.lines.keys().all(|line| line.ends_with(&own)), "the pod's address: {answers:?}");
        }
    }
    Ok(())
}

#[test]
fn external_local_serves_outside_from_the_node_by_packets() -> anyhow::Result<()> {
    world(|world| external_local(world, "off"))
}

#[test]
fn external_local_serves_outside_from_the_node_beside_sockets() -> anyhow::Result<()> {
    world(|world| external_local(world, "all"))
}

#[test]
fn terminating_pods_serve_where_nobody_else_does() -> anyhow::Result<()> {
    world(|world| {
        let base = || service(&[]).spec("externalTrafficPolicy: Local");
        world.publish(&base().endpoint(POD2, State::Draining).endpoint(POD3, State::Ready))?;
        let _agent = Agent::start(world, &[])?;
        // Each list falls back by itself.
        expect(world, Place::Outside, Frontend::LoadBalancer, &[POD2])?;
        expect(world, Place::Pod(POD1), Frontend::ClusterIp, &[POD3])?;
        world.publish(&base().endpoint(POD2, State::Draining).endpoint(POD3, State::Terminating))?;
        until("the last that serves", PROMISE, || {
            let found = pods(world, Place::Pod(POD1), Frontend::ClusterIp, Family::V4)?;
            Ok(found.into_iter().eq(["pod2"]).then_some(()))
        })?;
        world.publish(&base().endpoint(POD2, State::Terminating).endpoint(POD3, State::NotReady))?;
        until("refusal", PROMISE, || {
            let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
            let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?;
            Ok(answers.errors.contains_key("ECONNREFUSED").then_some(()))
        })?;
        Ok(())
    })
}

#[test]
fn hints_keep_traffic_on_the_node() -> anyhow::Result<()> {
    world(|world| {
        let node1 = "{ forNodes: [{ name: node1 }] }";
        let node2 = "{ forNodes: [{ name: node2 }] }";
        let hinted = service(&[]).endpoint(POD2, State::Ready).hints(node1);
        world.publish(&hinted.clone().endpoint(POD3, State::Ready).hints(node2))?;
        let _agent = Agent::start(world, &[])?;
        expect(world, Place::Pod(POD1), Frontend::ClusterIp, &[POD2])?;
        // One endpoint without a hint switches them off.
        world.publish(&hinted.endpoint(POD3, State::Ready))?;
        until("all pods", PROMISE, || {
            let found = pods(world, Place::Pod(POD1), Frontend::ClusterIp, Family::V4)?;
            Ok(found.into_iter().eq(["pod2", "pod3"]).then_some(()))
        })?;
        Ok(())
    })
}
