//! `svclb status`: whether the tables hold what was asked for, and what is attached.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Output, table};
use crate::{
    datapath::{
        Error,
        attach::{Attached, attached},
        counters,
        flows::{self, Fill},
        lock,
        pins::Pins,
        probe, readback,
        tables::Tables,
    },
    netdev::device_names,
    plan::{Limits, Readback},
    sys::mapped::Access,
};

#[derive(Debug, Serialize)]
struct Status {
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
}

/// How often a waiting status looks.
const LOOK: Duration = Duration::from_millis(20);

/// Prints the status, if an output is given. With `wait`, first waits that long for the tables to be complete;
/// the exit code says whether they are.
pub async fn status(pins: &Pins, output: Option<Output>, wait: Option<Duration>) -> anyhow::Result<ExitCode> {
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
    let status = read(pins)?;
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Table => print_table(&status),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether an agent runs and says that it is done.
fn is_synced(pins: &Pins) -> bool {
    let done = || {
        let tables = Tables::open(pins, Access::Read)?;
        tables.state().map(|state| state.synced.load() == 1)
    };
    pins.require().is_ok() && lock::is_held(pins) && done().unwrap_or(false)
}

fn read(pins: &Pins) -> Result<Status, Error> {
    pins.require()?;
    let tables = Tables::open(pins, Access::Read)?;
    let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
    let both = [crate::model::Family::V4, crate::model::Family::V6].map(|family| applied.tables(family));
    let (mut flows, mut flow_tables) = (0, Vec::new());
    for family in crate::model::Family::ALL {
        let (count, fills) = flows::fill_of(pins, family)?;
        flows += count;
        flow_tables.extend(fills);
    }
    let running = lock::is_held(pins);
    let state = tables.state()?;
    Ok(Status {
        synced: running && state.synced.load() == 1,
        services: applied.services().count(),
        frontends: both.iter().map(|tables| tables.frontends().count()).sum(),
        backends: both.iter().map(|tables| tables.backends().count()).sum(),
        flows,
        flow_tables,
        attached: attached(pins, &device_names())?,
        kernel: probe::version(),
        agent: running.then(|| state.pid.load()),
        writes: state.writes.load(),
        drops: counters::drops(pins)?,
    })
}

/// What `svclb status -o json` prints.
pub fn status_json(pins: &Pins) -> Result<String, Error> {
    // Texts and numbers, so it does not fail.
    Ok(serde_json::to_string_pretty(&read(pins)?).unwrap_or_default())
}

fn print_table(status: &Status) {
    let agent = status.agent.map_or_else(|| "not running".to_owned(), |pid| format!("process {pid}"));
    let drops: Vec<_> =
        status.drops.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{reason} {n}")).collect();
    let fill = |Fill { map, entries, capacity }: &Fill| format!("{map} {entries} of {capacity}");
    let fills: Vec<_> = status.flow_tables.iter().map(fill).collect();
    let rows = [
        ("synced", status.synced.to_string()),
        ("agent", agent),
        ("kernel", status.kernel.clone()),
        ("services", status.services.to_string()),
        ("frontends", status.frontends.to_string()),
        ("backends", status.backends.to_string()),
        ("flows", status.flows.to_string()),
        ("flow entries", fills.join(", ")),
        ("table writes", status.writes.to_string()),
        ("drops", if drops.is_empty() { "none".into() } else { drops.join(", ") }),
    ];
    for (name, value) in rows {
        println!("{name:<13} {value}");
    }
    println!();
    let row =
        |attached: &Attached| vec![attached.device.clone(), attached.hook.clone(), attached.program.clone()];
    table::print(&["DEVICE", "HOOK", "PROGRAM"], &status.attached.iter().map(row).collect::<Vec<_>>());
}
