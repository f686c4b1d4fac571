//! `svclb monitor` names the cause.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, NODE1, NODE2, POD1, POD2, POD3},
    manifest::Service,
    process::{self, Process},
    wait::{PATIENCE, until},
};

use crate::{files, support::world};

const SERVICE: u8 = 160;

/// What the recorder holds of a Service for a reason, as lines.
pub(super) fn history(world: &World, name: &str, reason: &str) -> anyhow::Result<String> {
    let service = format!("default/{name}");
    let output = world.svclb(&["monitor", "--history", "--service", &service, "--reason", reason])?;
    ensure!(output.status.success(), "svclb monitor: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until a line says all of that.
fn named(world: &World, name: &str, reason: &str, parts: &[&str]) -> anyhow::Result<()> {
    let mut last = String::new();
    until(reason, PATIENCE, || {
        last = history(world, name, reason)?;
        let is_told = last.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        Ok(is_told.then_some(()))
    })
    .map(drop)
    .map_err(|error| error.context(format!("no line with {reason} and {parts:?}:\n{last}")))
}

#[test]
fn no_endpoints() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("empty", SERVICE, &[]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let to = Frontend::LoadBalancer.of(SERVICE, Family::V4);
        world.ask(Place::Outside, Mode::Tcp, to, 1)?;
        let (from, to) = (CLIENT.v4.to_string(), format!("{to}/tcp"));
        let parts = [" refuse ", &from, &to, "default/empty:tcp", "uplink eth0 ingress", "no endpoint"];
        named(world, "empty", "no_backend", &parts)
    })
}

#[test]
fn a_call_of_a_host_process() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("empty", SERVICE, &[]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        world.ask(Place::Host, Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V6), 1)?;
        named(world, "empty", "no_backend", &["default/empty:tcp", "at a socket"])
    })
}

#[test]
fn a_wrong_target_port() -> anyhow::Result<()> {
    world(|world| {
        world.publish_text("wrong.yaml", &files::service("wrong", SERVICE, &[POD1], 9))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        world.ask(Place::Pod(POD2), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 1)?;
        let backend = format!("backend {}:9", POD1.v4);
        named(
            world,
            "wrong",
            "refused_by_backend",
            &[" reset ", "default/wrong:tcp", &backend, "targetPort"],
        )?;
        world.ask(Place::Pod(POD2), Mode::Udp, Frontend::ClusterIp.of(SERVICE, Family::V4), 1)?;
        named(world, "wrong", "unreachable", &[" error ", "default/wrong:udp", &backend])
    })
}

#[test]
fn a_client_outside_the_source_ranges() -> anyhow::Result<()> {
    world(|world| {
        let service = Service::new("ranged", SERVICE, &[POD1]);
        world.publish(&service.spec("loadBalancerSourceRanges: [203.0.113.77/32]"))?;
        let _agent = Agent::start(world, &["--xdp", "generic"])?;
        world.ask(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, Family::V4), 1)?;
        let parts = [" drop ", "default/ranged:tcp", "eth0 ingress (xdp)", "loadBalancerSourceRanges"];
        named(world, "ranged", "source_range", &parts)
    })
}

#[test]
fn an_endpoint_on_a_dead_node() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("dead", SERVICE, &[POD3]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        ensure!(world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?.answered() == 1, "not served before");
        world.ip(NODE2.name, "link set eth0 down\n")?;
        let load = world.load(Place::Pod(POD1), Mode::Tcp, to)?;
        let backend = format!("backend {}:", POD3.v4);
        named(world, "dead", "unanswered", &[" silence ", "default/dead:tcp", &backend, "has not answered"])?;
        load.finish()?;
        Ok(())
    })
}

#[test]
fn ports_that_are_all_taken() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("busy", SERVICE, &[POD3]))?;
        let _agent = Agent::start(world, &["--snat-ports", "20000-20000"])?;
        let to = Frontend::LoadBalancer.of(SERVICE, Family::V4);
        let mut held = world.hold(Place::Outside, to)?;
        ensure!(held.ask()?.answered() == 1, "the first connection is not served");
        world.ask(Place::Outside, Mode::Tcp, to, 1)?;
        named(world, "busy", "ports_exhausted", &["default/busy:tcp", "--snat-ports"])
    })
}

#[test]
fn a_datagram_client_whose_backend_is_gone() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("moved", SERVICE, &[POD1]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let mut held = world.hold_udp(Place::Pod(POD2), Frontend::ClusterIp.of(SERVICE, Family::V4))?;
        ensure!(held.ask()?.answered() == 1, "not served before");
        world.publish(&Service::new("moved", SERVICE, &[POD3]))?;
        let backend = format!("backend {}:", POD3.v4);
        until("a switch", PATIENCE, || {
            held.ask()?;
            let lines = history(world, "moved", "backend_switched")?;
            Ok((lines.contains(" switch ") && lines.contains(&backend) && lines.contains("before"))
                .then_some(()))
        })?;
        Ok(())
    })
}

#[test]
fn a_way_that_carries_less() -> anyhow::Result<()> {
    const NARROW: u32 = 1300;
    world(|world| {
        world.publish(&Service::new("narrow", SERVICE, &[POD3]))?;
        let route = format!("route replace 10.244.2.0/24 via {} dev eth0 mtu lock {NARROW}\n", NODE2.v4);
        world.ip(NODE1.name, &route)?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        world.ask(Place::Outside, Mode::Large(1400), Frontend::LoadBalancer.of(SERVICE, Family::V4), 1)?;
        named(world, "narrow", "too_big", &["default/narrow:udp", "1428 bytes where 1300 go", "ICMP"])
    })
}

/// Two that follow see the same, and the agent's own reading of events takes nothing from them.
#[test]
fn monitors_that_follow() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("empty", SERVICE, &[]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        let bpffs = world.bpffs(&NODE1).to_string_lossy().into_owned();
        let arguments: Vec<_> =
            ["monitor", "--count", "1", "--device", "eth0", "-o", "json", "--bpffs", &bpffs]
                .map(String::from)
                .into();
        let start = || {
            let command = process::command(&world.cgroup(NODE1.name), &world.ground().svclb, &arguments);
            Process::start(world.namespace(NODE1.name), command)
        };
        let mut monitors = [start()?, start()?];
        until("both have seen one", PATIENCE, || {
            world.ask(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, Family::V4), 1)?;
            let ended = monitors.each_mut().map(Process::has_ended);
            let [a, b] = ended;
            Ok((a? && b?).then_some(()))
        })?;
        for monitor in &mut monitors {
            ensure!(monitor.wait()?.success(), "a monitor failed");
        }
        Ok(())
    })
}
