//! Flows of real sockets, translated per packet: how they leave backends that are gone, and how they are forgotten.

use std::{collections::BTreeMap, fs, net::SocketAddr};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{Family, Frontend, Machine, POD_PORT, POD1, POD2, POD3},
    manifest::Service,
    server::Server,
    wait::{PATIENCE, PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 155;

/// Another port of a pod.
const OTHER_PORT: u16 = 9090;

fn service(pods: &[Machine]) -> Service {
    Service::new("lives", SERVICE, pods)
}

/// A pod by the ClusterIP and somebody outside by a node port, of each family.
fn clients() -> impl Iterator<Item = (Place, SocketAddr)> {
    Family::ALL.into_iter().flat_map(|family| {
        [(Place::Pod(POD1), Frontend::ClusterIp), (Place::Outside, Frontend::NodePort)]
            .map(|(place, frontend)| (place, frontend.of(SERVICE, family)))
    })
}

/// Datagram sockets that stay.
fn sockets(world: &World) -> anyhow::Result<Vec<Held>> {
    clients().map(|(place, to)| world.hold_udp(place, to)).collect()
}

/// Waits until new sockets are answered by `pod` only: what was published is in force.
fn in_force(world: &World, pod: &str) -> anyhow::Result<()> {
    for (place, to) in clients() {
        until("the change in force", PROMISE * 3, || {
            let answers = world.ask(place, Mode::Udp, to, 2)?;
            Ok((answers.pods.keys().eq([pod])).then_some(()))
        })?;
    }
    Ok(())
}

/// Asks once on each socket, and expects that answer.
fn expect(sockets: &mut [Held], pod: Option<&str>) -> anyhow::Result<()> {
    let asked = sockets.iter_mut().map(Held::begin).collect::<anyhow::Result<Vec<_>>>()?;
    for ((place, to), (socket, asked)) in clients().zip(sockets.iter().zip(asked)) {
        let answers = socket.end(asked)?;
        let is_right =
            answers.pods.keys().map(String::as_str).eq(pod) && (pod.is_none() || answers.failed() == 0);
        ensure!(is_right, "{place:?} to {to}: {answers:?} instead of {pod:?}");
    }
    Ok(())
}

// Not one datagram is lost once the change is in force: the promise is one at most.
#[test]
fn a_socket_that_stays_loses_no_datagram_to_a_backend_that_is_gone() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut sockets = sockets(world)?;
        for pod in [POD2, POD3, POD2] {
            world.publish(&service(&[pod]))?;
            in_force(world, pod.name)?;
            expect(&mut sockets, Some(pod.name))?;
            expect(&mut sockets, Some(pod.name))?;
        }
        // The pod stays, its port is another one.
        let _other = Server::start_at(world.namespace(POD2.name), "other", OTHER_PORT)?;
        let (old, new) = (POD_PORT.to_string(), OTHER_PORT.to_string());
        world.publish_text("lives.yaml", &service(&[POD2]).yaml().replace(&old, &new))?;
        in_force(world, "other")?;
        expect(&mut sockets, Some("other"))
    })
}

// Sockets that sent before there was a Service, before it had endpoints, and after it was deleted.
#[test]
fn a_socket_that_stays_follows_a_service_that_comes_and_goes() -> anyhow::Result<()> {
    world(|world| {
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut sockets = sockets(world)?;
        expect(&mut sockets, None)?;
        world.publish(&service(&[POD2]))?;
        in_force(world, POD2.name)?;
        expect(&mut sockets, Some(POD2.name))?;

        world.publish(&service(&[]))?;
        for (place, to) in clients() {
            until("a refusal", PROMISE * 3, || {
                let answers = world.ask(place, Mode::Udp, to, 1)?;
                Ok(answers.errors.contains_key("ECONNREFUSED").then_some(()))
            })?;
        }
        expect(&mut sockets, None)?;
        world.publish(&service(&[POD3]))?;
        in_force(world, POD3.name)?;
        expect(&mut sockets, Some(POD3.name))?;

        fs::remove_file(world.manifests().join("lives.yaml"))?;
        until("no Service", PROMISE * 3, || {
            let services = world.svclb(&["services", "-o", "json"])?.stdout;
            Ok((!String::from_utf8_lossy(&services).contains("\"lives\"")).then_some(()))
        })?;
        expect(&mut sockets, None)?;
        world.publish(&service(&[POD2]))?;
        in_force(world, POD2.name)?;
        expect(&mut sockets, Some(POD2.name)).with_context(|| agent.log().text())
    })
}

/// States of all flows, with how many there are of each.
fn states(world: &World) -> anyhow::Result<BTreeMap<String, u32>> {
    let flows: Vec<Value> = serde_json::from_slice(&world.svclb(&["flows", "-o", "json"])?.stdout)?;
    let mut states = BTreeMap::new();
    for flow in &flows {
        let [idle, timeout] = ["idle_s", "timeout_s"].map(|field| flow[field].as_u64());
        ensure!(idle.is_some() && timeout.is_some_and(|timeout| timeout > 0), "{flow}");
        let name =
            format!("{} {}", flow["protocol"].as_str().unwrap_or("?"), flow["state"].as_str().unwrap_or("?"));
        *states.entry(name).or_default() += 1;
    }
    Ok(states)
}

#[test]
fn flows_that_are_over_are_forgotten_and_others_are_not() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let config = world.path("config.yaml");
        fs::write(
            &config,
            "apiVersion: svclb.io/v1alpha1\nkind: Config\n\
             flowTimeouts: { tcpTimeWait: 3s, udpStream: 3s, udp: 2s, tcpEstablished: 1h }\n",
        )?;
        let config = config.to_string_lossy().into_owned();
        let agent = Agent::start(world, &["--socket-lb", "off", "--config", &config])?;
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        let mut held = world.hold(Place::Pod(POD1), to)?;
        ensure!(held.ask()?.answered() == 1, "no connection");
        world.ask(Place::Pod(POD1), Mode::Tcp, to, 200)?;
        world.ask(Place::Pod(POD1), Mode::Udp, to, 5)?;
        let before = states(world)?;
        let expected =
            [("TCP ESTABLISHED", 1), ("TCP TIME_WAIT", 200), ("UDP NEW", 0), ("UDP ESTABLISHED", 5)];
        for (state, count) in expected {
            ensure!(before.get(state).copied().unwrap_or(0) == count, "{before:?}");
        }
        until("what is over to be forgotten", PATIENCE * 3, || {
            let states = states(world)?;
            ensure!(states.get("TCP ESTABLISHED") == Some(&1), "{states:?}\n{}", agent.log().text());
            Ok((states.len() == 1).then_some(()))
        })?;
        ensure!(held.ask()?.answered() == 1, "the connection that stays");
        // The walk that took them away tells of it when it is complete.
        let (metrics, _) = until("metrics of a walk", PATIENCE * 2, || {
            let metrics =
                world.run(Place::Host, "curl", &["--silent", "http://127.0.0.1:10249/metrics"])?.stdout;
            let metrics = String::from_utf8_lossy(&metrics).into_owned();
            let line = "svclb_expired_entries_total{ip_family=\"IPv4\",table=\"flows\"} 410";
            Ok(metrics.lines().any(|found| found == line).then_some(metrics))
        })?;
        let line = "svclb_tracked_flows{ip_family=\"IPv4\",protocol=\"TCP\",state=\"ESTABLISHED\"} 1";
        ensure!(metrics.contains(line), "{metrics}");
        Ok(())
    })
}

/// How often the collector has walked through the tables of IPv4.
fn walks(world: &World) -> anyhow::Result<u32> {
    let url = "http://127.0.0.1:10249/metrics";
    let metrics = String::from_utf8(world.run(Place::Host, "curl", &["--silent", url])?.stdout)?;
    let count = metrics.lines().find_map(|line| line.strip_prefix("svclb_walks_total{ip_family=\"IPv4\"} "));
    Ok(count.map_or(Ok(0), str::parse)?)
}

// What ends a connection asks a filter first, whose marks grow old unless the collector renews them.
#[test]
fn a_connection_that_was_silent_for_many_walks_ends_as_one() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        let mut held = world.hold(Place::Pod(POD1), to)?;
        ensure!(held.ask()?.answered() == 1, "no connection");
        let before = walks(world)?;
        until("three walks", PATIENCE * 4, || Ok((walks(world)? >= before + 3).then_some(())))?;
        let is_there = |state| anyhow::Ok(states(world)?.get(state).copied() == Some(1));
        ensure!(is_there("TCP ESTABLISHED")?, "{:?}", states(world)?);
        drop(held);
        until("the end of the connection", PATIENCE, || Ok((!is_there("TCP ESTABLISHED")?).then_some(())))
            .with_context(|| agent.log().text())?;
        Ok(())
    })
}
