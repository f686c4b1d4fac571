//! Services as a real API server tells of them, with `kubectl` as their user.
//!
//! The scenarios are those of Kubernetes' own end-to-end tests for Services that need no
//! kubelet: pods are network namespaces, whose addresses are reported in the status of
//! Pod objects.

mod affinity;
mod endpoints;
mod frontends;
mod kinds;
mod labels;
mod lifetime;
mod outages;
mod policies;
mod readiness;
mod scenario;
mod slices;
mod sources;
mod udp;

use std::{env, io::Write as _, process::ExitCode};

use libtest_mimic::Arguments;
use svclb_tests::{
    cluster::{Assets, Plane},
    netns::ground::{self, Ground},
};

use crate::scenario::Scenario;

/// The client's binary.
const PROBE: &str = env!("CARGO_BIN_EXE_svclb-probe");

/// All scenarios, by theme.
const THEMES: [(&str, &[Scenario]); 12] = [
    ("endpoints", endpoints::SCENARIOS),
    ("readiness", readiness::SCENARIOS),
    ("slices", slices::SCENARIOS),
    ("frontends", frontends::SCENARIOS),
    ("kinds", kinds::SCENARIOS),
    ("labels", labels::SCENARIOS),
    ("lifetime", lifetime::SCENARIOS),
    ("outages", outages::SCENARIOS),
    ("policies", policies::SCENARIOS),
    ("affinity", affinity::SCENARIOS),
    ("sources", sources::SCENARIOS),
    ("udp", udp::SCENARIOS),
];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the cluster ring: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let assets = match Assets::find() {
        Ok(assets) => assets,
        Err(missing) => return skip(&missing.to_string()),
    };
    let ground = match Ground::find(PROBE) {
        Ok(ground) => ground,
        Err(reason) => return skip(&reason.to_string()),
    };
    if arguments.list {
        libtest_mimic::run(&arguments, scenario::listed(&THEMES)).exit();
    }
    let plane = Plane::start(&assets)?;
    let trials = scenario::trials(&THEMES, &ground, &assets, plane);
    let conclusion = libtest_mimic::run(&arguments, trials);
    Ok(conclusion.exit_code())
}

fn skip(reason: &str) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!ground::skip_fails(), "skipped, and {} is set: {reason}", ground::NO_SKIP);
    writeln!(std::io::stderr(), "the cluster ring is skipped: {reason}")?;
    Ok(ExitCode::SUCCESS)
}
