//! `svclb status`: whether the node is all right and, if not, what to do.

mod drops;
mod find;
mod screen;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Output;
use crate::{
    condition::{Account, Probed, Problem, Severity},
    datapath::{
        Error, account,
        attach::{Attached, attached},
        counters,
        flows::{self, Fill},
        lock,
        pins::Pins,
        probe, readback,
        tables::Tables,
    },
    model::Family,
    netdev::{self, device_names},
    plan::{Applied, Limits, Readback},
    sys::mapped::Access,
};

#[derive(Debug, Serialize)]
struct Status {
    /// Whether none of the problems is an error.
    healthy: bool,
    /// What is wrong, worst first.
    problems: Vec<Problem>,
    synced: bool,
    services: usize,
    frontends: usize,
    backends: usize,
    flows: usize,
    /// How full the tables of flows are.
    flow_tables: Vec<Fill>,
    attached: Vec<Attached>,
    kernel: String,
    /// Process of the agent, while one runs.
    agent: Option<u32>,
    /// Writes to tables since that agent started.
    writes: u64,
    /// Packets and calls that were not simply translated, by reason.
    drops: BTreeMap<&'static str, u64>,
    /// How many more a second, while this looked. Empty if it looked once.
    drops_per_second: BTreeMap<&'static str, u64>,
    /// The last self-probe of each path.
    self_probe: Vec<Probed>,
    /// Live flows that another proxy has set up.
    inherited_flows: usize,
}

/// How often a waiting status looks.
const LOOK: Duration = Duration::from_millis(20);

/// Prints the status, if an output is given; the exit code says whether the node is healthy. Drops are read a second time
/// after `interval`. With `wait`, first waits that long for the tables to be complete; the exit code says whether they are.
pub async fn status(
    pins: &Pins,
    output: Option<Output>,
    wait: Option<Duration>,
    interval: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    if let Some(wait) = wait {
        let deadline = Instant::now() + wait;
        while !is_synced(pins) {
            if Instant::now() >= deadline {
                eprintln!("svclb: the tables at {} are not in sync after {wait:?}", pins.root().display());
                return Ok(ExitCode::FAILURE);
            }
            sleep(LOOK).await;
        }
    }
    // A probe wants no more than the exit code, and reading all tables costs as much as they are large.
    let Some(output) = output else { return Ok(ExitCode::SUCCESS) };
    // Who waits for tables to be complete waits for nothing else.
    let interval = interval.unwrap_or(if wait.is_some() { Duration::ZERO } else { Duration::from_secs(1) });
    let status = read(pins, interval).await?;
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Table => screen::print(&status),
    }
    Ok(if status.healthy || wait.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether an agent runs and says that it is done.
fn is_synced(pins: &Pins) -> bool {
    let done = || {
        let tables = Tables::open(pins, Access::Read)?;
        tables.state().map(|state| state.synced.load() == 1)
    };
    pins.require().is_ok() && lock::is_held(pins) && done().unwrap_or(false)
}

async fn read(pins: &Pins, interval: Duration) -> anyhow::Result<Status> {
    pins.require()?;
    let before = counters::drops(pins)?;
    let begun = Instant::now();
    let network = netdev::watch().await?.borrow().clone();
    let mut problems = hooks(pins, &network).await;
    let status = look(pins)?;
    sleep(interval.saturating_sub(begun.elapsed())).await;
    let (after, elapsed) = (counters::drops(pins)?, begun.elapsed());
    let drops_per_second =
        if interval.is_zero() { BTreeMap::new() } else { drops::growth(&before, &after, elapsed) };
    problems.extend(drops_per_second.iter().filter_map(|(reason, rate)| drops::problem(reason, *rate)));
    problems.extend(status.problems);
    problems.sort();
    problems.dedup();
    let healthy = problems.iter().all(|problem| problem.severity != Severity::Error);
    Ok(Status { healthy, problems, drops: after, drops_per_second, ..status })
}

async fn hooks(pins: &Pins, network: &netdev::Network) -> Vec<Problem> {
    let reviewed = crate::datapath::hooks::review(pins, network).await;
    reviewed.unwrap_or_else(|error| {
        vec![Problem::error(format!("the hooks cannot be looked at: {error}"), "hooks", "run this as root")]
    })
}

fn look(pins: &Pins) -> Result<Status, Error> {
    let tables = Tables::open(pins, Access::Read)?;
    let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
    let (mut flows, mut flow_tables) = (0, Vec::new());
    for family in Family::ALL {
        let (count, fills) = flows::fill_of(pins, family)?;
        flows += count;
        flow_tables.extend(fills);
    }
    let running = lock::is_held(pins);
    let state = tables.state()?;
    let synced = running && state.synced.load() == 1;
    // The last word of one that ended is of another time.
    let told = running.then(|| account::read(pins));
    let account = told.clone().flatten().unwrap_or_default();
    let mut problems = find::agent(running, synced, told.as_ref());
    problems.extend(find::full(&flow_tables));
    problems.extend(find::crowded(&applied));
    problems.extend(find::kernel());
    let Account { problems: known, probes, inherited } = account;
    problems.extend(known);
    let sum = |of: fn(&Applied, Family) -> usize| Family::ALL.map(|family| of(&applied, family)).iter().sum();
    Ok(Status {
        healthy: true,
        problems,
        synced,
        services: sum(|applied, family| applied.counts(family).services),
        frontends: sum(|applied, family| applied.counts(family).frontends),
        backends: sum(|applied, family| applied.counts(family).backends),
        flows,
        flow_tables,
        attached: attached(pins, &device_names())?,
        kernel: probe::version(),
        agent: running.then(|| state.pid.load()),
        writes: state.writes.load(),
        drops: BTreeMap::new(),
        drops_per_second: BTreeMap::new(),
        self_probe: probes,
        inherited_flows: inherited,
    })
}

/// What `svclb status -o json` prints, as far as pins tell: hooks are the agent's to look at, which tells its problems.
pub fn status_json(pins: &Pins) -> Result<String, Error> {
    pins.require()?;
    let status = look(pins)?;
    let healthy = status.problems.iter().all(|problem| problem.severity != Severity::Error);
    let status = Status { healthy, drops: counters::drops(pins)?, ..status };
    // Texts and numbers, so it does not fail.
    Ok(serde_json::to_string_pretty(&status).unwrap_or_default())
}
