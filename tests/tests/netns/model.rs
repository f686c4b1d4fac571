//! A running agent beside an independent reference: after each of many random changes, tables and answers are compared.
//!
//! `SVCLB_TEST_CHANGES` makes that many changes instead of a few hundred, and `SVCLB_TEST_SEED` those of one seed. What
//! fails is made small and kept in `model/regressions`, where it is played at each run.

use std::{env, time::Instant};

use anyhow::{Context as _, ensure};
use svclb_tests::{
    model::{Feed, Trial, ground, session::Closeness},
    netns::{Agent, World},
};

use crate::{apiserver::serve, support::world};

/// Changes of each test, unless told otherwise.
const CHANGES: usize = 400;
/// Frontends that are asked after each step.
const QUESTIONS: usize = 4;

fn number(variable: &str) -> anyhow::Result<Option<u64>> {
    match env::var(variable) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("{variable}={text}"))?)),
        Err(_) => Ok(None),
    }
}

/// Random changes of a seed that is told.
fn changes(trial: &mut Trial<'_>, part: usize) -> anyhow::Result<()> {
    let seed = number("SVCLB_TEST_SEED")?.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let most = number("SVCLB_TEST_CHANGES")?.map_or(CHANGES / part, |most| most as usize);
    eprintln!("SVCLB_TEST_SEED={seed}");
    let begin = Instant::now();
    let tried = trial.random(seed, most).with_context(|| format!("SVCLB_TEST_SEED={seed}"))?;
    eprintln!("{tried:?} in {:?}", begin.elapsed());
    let [answered, ..] = tried.asked;
    ensure!(trial.closeness.questions == 0 || answered > 0, "nobody has answered: {tried:?}");
    Ok(())
}

/// An agent that follows a folder of manifests.
fn folder(world: &World, flags: &[&str], part: usize) -> anyhow::Result<()> {
    let _servers = ground::serve(world)?;
    let start = || Agent::start(world, flags);
    let mut trial = Trial::new(world, Feed::Folder, ground::of_world(), &start);
    trial.closeness = Closeness { questions: QUESTIONS, ..Closeness::default() };
    changes(&mut trial, part)
}

#[test]
fn packets_follow_random_changes_of_manifests() -> anyhow::Result<()> {
    world(|world| folder(world, &["--socket-lb", "off"], 1))
}

#[test]
fn sockets_follow_random_changes_of_manifests() -> anyhow::Result<()> {
    world(|world| folder(world, &["--socket-lb", "all"], 2))
}

#[test]
fn tables_follow_random_changes_of_an_api_server() -> anyhow::Result<()> {
    world(|world| {
        let (server, kubeconfig) = serve(world)?;
        let start = || {
            let mut agent = Agent::launch_with_api(world, &kubeconfig, &["--socket-lb", "off"])?;
            agent.wait_synced(world)?;
            Ok(agent)
        };
        changes(&mut Trial::new(world, Feed::Api(&server), ground::of_world(), &start), 2)
    })
}

#[test]
fn what_has_failed_before_does_not_fail_again() -> anyhow::Result<()> {
    world(|world| {
        let _servers = ground::serve(world)?;
        let start = || Agent::start(world, &["--socket-lb", "off"]);
        let mut trial = Trial::new(world, Feed::Folder, ground::of_world(), &start);
        trial.closeness = Closeness { questions: QUESTIONS, ..Closeness::default() };
        let count = trial.replay()?;
        ensure!(count > 0, "no script was found");
        Ok(())
    })
}
