//! What is broken is named, by one command.

mod explain;
mod foreign;
mod hand;
mod healthy;
mod migration;
mod monitor;
mod objects;
mod outage;
mod packets;
mod room;

use anyhow::ensure;
use svclb_tests::netns::{
    World,
    agent::{Problem, Status},
    wait::{PATIENCE, until},
};

/// Waits until the status has a problem whose text and place contain these words.
fn problem(world: &World, what: &str, place: &str) -> anyhow::Result<(Problem, Status)> {
    let mut last = None;
    let found = until(&format!("{what:?} at {place:?}"), PATIENCE, || {
        let status = world.status()?;
        let found = status.problems.iter().find(|it| it.what.contains(what) && it.place.contains(place));
        let found = found.cloned();
        last = Some(status.problems.clone());
        Ok(found.map(|found| (found, status)))
    });
    let ((problem, status), _) = found.map_err(|error| error.context(format!("{last:#?}")))?;
    ensure!(!problem.advice.is_empty(), "{problem:?} says nothing of what to do");
    ensure!(status.healthy == status.problems.iter().all(|it| it.severity != "error"), "{status:?}");
    Ok((problem, status))
}

/// The screen, which has to fit.
fn screen(world: &World) -> anyhow::Result<String> {
    let output = world.svclb(&["status"])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() == text.starts_with("HEALTHY"), "{}: {text}", output.status);
    ensure!(text.lines().count() <= 24, "{text}");
    ensure!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    Ok(text)
}

/// Waits until nothing is wrong.
fn healthy(world: &World) -> anyhow::Result<Status> {
    let mut last = None;
    let found = until("a healthy node", PATIENCE, || {
        let status = world.status()?;
        last = Some(status.problems.clone());
        Ok(status.healthy.then_some(status))
    });
    let (status, _) = found.map_err(|error| error.context(format!("{last:#?}")))?;
    Ok(status)
}
