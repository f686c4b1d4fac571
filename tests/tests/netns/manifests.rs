//! Changes of manifests take effect at once, and wrong ones change nothing.

use std::fs;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PATIENCE, PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 50;

fn service(pods: &[Machine]) -> Service {
    Service::new("live", SERVICE, pods)
}

/// Requests from a pod, by a new flow each.
fn answered_by(world: &World, count: u32) -> anyhow::Result<Vec<String>> {
    let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
    let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, count)?;
    ensure!(answers.failed() == 0, "{answers:?}");
    Ok(answers.pods.into_keys().collect())
}

/// Waits until a change is in force, and asserts that it came in time and is complete.
fn becomes(world: &World, pods: &[Machine]) -> anyhow::Result<()> {
    let wanted: Vec<String> = pods.iter().map(|pod| pod.name.to_owned()).collect();
    let what = format!("answers from {wanted:?}");
    // Twelve requests miss one of two backends once in 2,000 times, and are repeated.
    until(&what, PROMISE, || Ok((answered_by(world, 12)? == wanted).then_some(())))?;
    let after = answered_by(world, 50)?;
    ensure!(after == wanted, "{what}, not from {after:?}");
    Ok(())
}

#[test]
fn backends_come_and_go_by_a_renamed_file() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        for pods in [&[POD2][..], &[POD2, POD3], &[POD3]] {
            world.publish(&service(pods))?;
            becomes(world, pods)?;
        }
        Ok(())
    })
}

#[test]
fn backends_come_and_go_by_a_file_written_in_place() -> anyhow::Result<()> {
    world(|world| {
        let path = world.manifests().join("live.yaml");
        fs::write(&path, service(&[POD2]).yaml())?;
        let _agent = Agent::start(world, &[])?;
        for pods in [&[POD2][..], &[POD2, POD3], &[POD3]] {
            fs::write(&path, service(pods).yaml())?;
            becomes(world, pods)?;
        }
        Ok(())
    })
}

#[test]
fn a_service_goes_with_its_file() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let _agent = Agent::start(world, &[])?;
        ensure!(answered_by(world, 4)? == ["pod2"]);
        fs::remove_file(world.manifests().join("live.yaml"))?;
        until("a table without the Service", PROMISE, || {
            let listed = world.svclb(&["services", "-o", "json"])?;
            Ok((listed.stdout.trim_ascii() == b"[]").then_some(()))
        })?;
        Ok(())
    })
}

#[test]
fn a_file_that_does_not_parse_is_named_and_changes_nothing() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let agent = Agent::start(world, &[])?;
        let writes = world.status()?.writes;

        let good = service(&[POD3]).yaml();
        let wrong_at = good.lines().position(|line| line.starts_with("spec:")).unwrap_or_default() + 1;
        let cases = [
            ("not YAML", good.replacen("spec:", "spec: [", 1), None),
            (
                "a wrong field",
                good.replacen("spec:\n", "spec:\n  sessionAffinity: 7\n", 1),
                Some(wrong_at + 1),
            ),
        ];
        for (what, text, line) in cases {
            let before = agent.log().len();
            world.publish_text("live.yaml", &text)?;
            let named = agent.log().wait_for(before, PATIENCE, |line| line.contains("live.yaml:"))?;
            if let Some(line) = line {
                ensure!(
                    named.contains(&format!("live.yaml:{line}:")),
                    "{what}: line {line} is meant: {named}"
                );
            }
            ensure!(answered_by(world, 8)? == ["pod2"], "{what} changed the backends");
            let now = world.status()?.writes;
            ensure!(now == writes, "{what} caused {} writes", now - writes);
        }
        world.publish_text("live.yaml", &good)?;
        becomes(world, &[POD3])
    })
}

/// A new agent has no last good version of a file; the tables are it.
#[test]
fn a_file_that_breaks_while_nobody_runs_keeps_its_services() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        Agent::start(world, &["--socket-lb", "off"])?.kill()?;
        fs::write(world.manifests().join("live.yaml"), "kind: [")?;
        world.publish_text("more.yaml", &Service::new("more", SERVICE + 1, &[POD3]).yaml())?;
        let agent = Agent::launch(world, &NODE1, &["--socket-lb", "off"])?;
        let more = Frontend::ClusterIp.of(SERVICE + 1, Family::V4);
        until("a new Service beside the broken file", PATIENCE, || {
            Ok((world.ask(Place::Pod(POD1), Mode::Tcp, more, 1)?.answered() == 1).then_some(()))
        })?;
        ensure!(answered_by(world, 10)? == [POD2.name], "the Service of the broken file is gone");
        ensure!(agent.log().text().contains("live.yaml:1"), "the file is not named");
        world.publish(&service(&[POD3]))?;
        becomes(world, &[POD3])
    })
}
