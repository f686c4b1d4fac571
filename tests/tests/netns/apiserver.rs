//! An agent that follows an API server: nothing that happens to the server happens to connections.

use std::{net::TcpListener, path::PathBuf};

use anyhow::{Context as _, ensure};
use svclb_tests::{
    apiserver::{
        ApiServer, Expiry,
        call::Verb,
        fault::{Fault, Interruption},
        resource::SERVICES,
    },
    netns::{
        Agent, Place, World,
        client::Mode,
        layout::{Family, Frontend, Machine, NODE2, POD1, POD2, POD3},
        manifest::Service,
        wait::{PATIENCE, until},
    },
};

use crate::support::world;

/// Where the API server listens: on the other node, so that the tested one reaches it through its uplink.
const PORT: u16 = 6443;

/// A Service that is there from the beginning, and one that comes later.
const EARLY: u8 = 70;
const LATE: u8 = 71;

fn listener(world: &World) -> anyhow::Result<TcpListener> {
    let bind = || TcpListener::bind((NODE2.v4, PORT));
    world.namespace(NODE2.name).run(bind)?.context("cannot listen as the API server")
}

/// A server, and the kubeconfig that leads to it.
pub(crate) fn serve(world: &World) -> anyhow::Result<(ApiServer, PathBuf)> {
    let server = ApiServer::serve(listener(world)?)?;
    let kubeconfig = world.path("kubeconfig");
    server.write_kubeconfig(&kubeconfig)?;
    Ok((server, kubeconfig))
}

fn publish(server: &ApiServer, service: &Service) -> anyhow::Result<()> {
    service.objects()?.into_iter().for_each(|object| server.apply(object));
    Ok(())
}

fn remove(server: &ApiServer, service: &Service) {
    server.delete("services", "default", service.name);
    for family in ["ipv4", "ipv6"] {
        server.delete("endpointslices", "default", &format!("{}-{family}", service.name));
    }
}

fn early(pods: &[Machine]) -> Service {
    Service::new("early", EARLY, pods)
}

/// Every kind of client is answered, by one of these pods.
fn answers(world: &World, service: u8, pods: &[Machine]) -> anyhow::Result<()> {
    let asked = [
        (Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(service, Family::V4)),
        (Place::Host, Mode::Udp, Frontend::ClusterIp.of(service, Family::V6)),
        (Place::Outside, Mode::Tcp, Frontend::NodePort.of(service, Family::V4)),
    ];
    for (place, mode, to) in asked {
        let answers = world.ask(place, mode, to, 10)?;
        let is_known = answers.pods.keys().all(|name| pods.iter().any(|pod| pod.name == name));
        ensure!(answers.answered() == 10 && is_known, "{place:?} {mode:?} {to}: {answers:?}");
    }
    Ok(())
}

/// Waits until a new flow is answered, or is not. After a long outage, and it is as long as an agent takes to
/// start, the next attempt comes up to half a minute later.
fn until_answered(world: &World, service: u8, is_answered: bool) -> anyhow::Result<()> {
    let to = Frontend::ClusterIp.of(service, Family::V4);
    until(&format!("answers: {is_answered}"), PATIENCE * 2, || {
        let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?;
        Ok(((answers.answered() == 1) == is_answered).then_some(()))
    })?;
    Ok(())
}

fn started(world: &World, kubeconfig: &std::path::Path) -> anyhow::Result<Agent> {
    let mut agent = Agent::launch_with_api(world, kubeconfig, &[])?;
    agent.wait_synced(world)?;
    Ok(agent)
}

#[test]
fn services_come_change_and_go() -> anyhow::Result<()> {
    world(|world| {
        let (server, kubeconfig) = serve(world)?;
        publish(&server, &early(&[POD2, POD3]))?;
        let _agent = started(world, &kubeconfig)?;
        answers(world, EARLY, &[POD2, POD3])?;
        let late = Service::new("late", LATE, &[POD3]);
        publish(&server, &late)?;
        until_answered(world, LATE, true)?;
        answers(world, LATE, &[POD3])?;
        remove(&server, &late);
        until_answered(world, LATE, false)?;
        answers(world, EARLY, &[POD2, POD3])
    })
}

#[test]
fn an_outage_is_not_noticed_and_neither_is_a_restart_in_it() -> anyhow::Result<()> {
    world(|world| {
        let (mut server, kubeconfig) = serve(world)?;
        publish(&server, &early(&[POD2]))?;
        let agent = started(world, &kubeconfig)?;
        let load = world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(EARLY, Family::V4))?;
        let mut held = world.hold(Place::Outside, Frontend::NodePort.of(EARLY, Family::V4))?;
        let before = held.ask()?;

        server.stop()?;
        agent.log().wait_for(0, PATIENCE, |line| line.contains("API server"))?;
        answers(world, EARLY, &[POD2])?;
        agent.kill()?;
        answers(world, EARLY, &[POD2])?;
        let next = Agent::launch_with_api(world, &kubeconfig, &[])?;
        next.log().wait_for(0, PATIENCE, |line| line.contains("API server"))?;
        answers(world, EARLY, &[POD2])?;
        ensure!(!world.status()?.synced, "in sync with a server that is away");

        let late = Service::new("late", LATE, &[POD3]);
        publish(&server, &late)?;
        server.resume_on(listener(world)?)?;
        until_answered(world, LATE, true)?;
        answers(world, EARLY, &[POD2])?;
        let load = load.finish()?;
        ensure!(load.failed() == 0 && load.answered() > 0, "under load: {load:?}");
        let after = held.ask()?;
        ensure!(after == before, "a connection that was open: {before:?}, then {after:?}");

        let outages = next.log().text().lines().filter(|line| line.contains("API server")).count();
        ensure!(outages <= 2, "an outage is one line, and its end another:\n{}", next.log().text());
        // What the server forgets in an outage goes when its list says so.
        server.stop()?;
        remove(&server, &late);
        server.expire(Expiry::Status);
        server.resume_on(listener(world)?)?;
        until_answered(world, LATE, false)?;
        answers(world, EARLY, &[POD2])
    })
}

#[test]
fn half_a_list_takes_no_service_away() -> anyhow::Result<()> {
    world(|world| {
        let (server, kubeconfig) = serve(world)?;
        publish(&server, &early(&[POD2]))?;
        let _agent = started(world, &kubeconfig)?;
        let load = world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(EARLY, Family::V4))?;
        let late = Service::new("late", LATE, &[POD3]);
        for (number, fault) in [Fault::Cut(0), Fault::Cut(200), Fault::Status(500), Fault::ErrorEvent(410)]
            .into_iter()
            .enumerate()
        {
            for plural in ["services", "endpointslices"] {
                server.inject(plural, Verb::Watch, fault, 2);
                server.inject(plural, Verb::List, fault, 2);
            }
            let listings =
                |server: &ApiServer| server.calls().iter().filter(|call| call.is_listing(SERVICES)).count();
            let before = listings(&server);
            server.interrupt(Interruption::Gone);
            until("broken lists", PATIENCE, || Ok((listings(&server) > before + 1).then_some(())))?;
            answers(world, EARLY, &[POD2])?;
            let is_there = number % 2 == 0;
            if is_there {
                publish(&server, &late)?;
            } else {
                remove(&server, &late);
            }
            until_answered(world, LATE, is_there)?;
            answers(world, EARLY, &[POD2])?;
        }
        let load = load.finish()?;
        ensure!(load.failed() == 0 && load.answered() > 0, "under load: {load:?}");
        Ok(())
    })
}
