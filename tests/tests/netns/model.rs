//! A running agent beside an independent reference: after each of many random changes, tables and answers are compared.
//!
//! `SVCLB_TEST_CHANGES` makes that many changes instead of a few hundred, and `SVCLB_TEST_SEED` those of one seed. What
//! fails is made small and kept in `model/regressions`, where it is played at each run.

use std::{env, time::Instant};

use anyhow::{Context as _, ensure};
use svclb_tests::{
    model::{
        Feed, Trial, ground,
        session::{Closeness, Distortion},
    },
    netns::{Agent, World},
    reference::{Script, object::IpMode},
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

/// What is wrong with an agent that misreads objects so is found, and little is left of the script.
#[test]
fn a_fault_is_found_and_made_small() -> anyhow::Result<()> {
    const DISTORTIONS: [(&str, Distortion); 5] = [
        ("what terminates is no fallback", |told| {
            for slice in told.slices.values_mut() {
                slice.endpoints.retain(|it| it.terminating != Some(true) || it.ready == Some(true));
            }
        }),
        ("hints are nothing", |told| {
            for endpoint in told.slices.values_mut().flat_map(|slice| &mut slice.endpoints) {
                endpoint.zones.clear();
                endpoint.nodes.clear();
            }
        }),
        ("the younger has an address", |told| {
            for service in told.services.values_mut() {
                service.created = service.created.map(|second| 9 - second);
            }
        }),
        ("a node port stays", |told| {
            if let Some(port) = told.services.get_mut("ada").and_then(|it| it.ports.first_mut()) {
                port.node_port = port.node_port.max(31_005);
            }
        }),
        ("a mode is not read", |told| {
            for ingress in told.services.values_mut().flat_map(|service| &mut service.ingress) {
                ingress.mode = IpMode::VIP;
            }
        }),
    ];
    world(|world| {
        let start = || Agent::start(world, &["--socket-lb", "off"]);
        let mut trial = Trial::new(world, Feed::Folder, ground::of_world(), &start);
        trial.regressions = world.path("regressions");
        for (number, (what, distortion)) in (1..).zip(DISTORTIONS) {
            trial.distortion = Some(distortion);
            let found = trial.random(number, 2000);
            ensure!(found.is_err(), "{what}: not found: {found:?}");
            let path = trial.regressions.join(format!("seed-{number}.yaml"));
            let script = Script::read(&path).with_context(|| format!("{what}: {found:?}"))?;
            ensure!(script.changes() <= 5, "{what}: {} changes are left", script.changes());
            eprintln!("{what}:\n{}", script.text()?);
            // It fails for that reason alone.
            trial.distortion = None;
            let differences = trial.play(&script)?;
            ensure!(differences.is_empty(), "{what}: {differences:?}");
        }
        Ok(())
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
