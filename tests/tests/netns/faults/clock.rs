//! Clocks that say something else than before.

use std::fs;

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    layout::{Family, Frontend, POD1, POD2},
    manifest::Service,
    wait::{PATIENCE, until},
};

use super::{answers, with_script};

const SERVICE: u8 = 166;

/// Two days on, which is longer than any flow is remembered. The clocks of the programs stay.
const LATER: &str =
    r#"exec unshare --time --fork --kill-child --monotonic 172800 --boottime 172800 "$SVCLB" "$@""#;

/// What a metric says of a family, of all its series together.
fn metric(world: &World, name: &str) -> anyhow::Result<u64> {
    let output = world.run(Place::Host, "curl", &["--silent", "--fail", "http://127.0.0.1:10249/metrics"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let values = text.lines().filter(|line| line.starts_with(name) && line.contains("IPv4"));
    values
        .map(|line| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
            value.with_context(|| line.to_owned())
        })
        .sum()
}

#[test]
fn an_agent_in_another_time_forgets_nothing() -> anyhow::Result<()> {
    with_script(LATER, |world, folder| {
        world.publish(&Service::new("timed", SERVICE, &[POD2]))?;
        let first = Agent::start(world, &["--socket-lb", "off"])?;
        let mut held = [
            world.hold(Place::Pod(POD1), Frontend::ClusterIp.of(SERVICE, Family::V4))?,
            world.hold(Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?,
        ];
        let before = [held[0].ask()?, held[1].ask()?];
        first.kill()?;
        fs::write(folder.join("later"), "")?;
        let _next = Agent::start(world, &["--socket-lb", "off"])?;
        until("two walks of the collector", PATIENCE * 2, || {
            Ok((metric(world, "svclb_walks_total")? >= 2).then_some(()))
        })?;
        let expired = metric(world, "svclb_expired_entries_total")?;
        ensure!(expired == 0, "{expired} entries were over");
        let after = [held[0].ask()?, held[1].ask()?];
        ensure!(after == before, "connections that were open: {before:?}, then {after:?}");
        answers(world, SERVICE, &[POD2])
    })
}
