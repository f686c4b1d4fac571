//! `svclb flows`: who talks to whom through which Service.

use std::process::ExitCode;

use serde::Serialize;

use super::{Output, table};
use crate::{
    datapath::{
        flows::{self, Flow},
        pins::Pins,
        readback,
        tables::Tables,
    },
    model::{ServicePortKey, self_probe::is_own},
    plan::{Applied, Limits, Readback},
    sys::mapped::Access,
};

#[derive(Debug, Serialize)]
struct Line {
    /// None for a flow that outlived its Service.
    namespace: Option<String>,
    name: Option<String>,
    port_name: Option<String>,
    protocol: &'static str,
    client: String,
    frontend: String,
    source: String,
    backend: String,
    established: bool,
    closing: bool,
    /// As RFC 9293 names it; `NEW` and `ESTABLISHED` of other protocols.
    state: &'static str,
    idle_seconds: u64,
    /// The same, beside what it is compared with.
    idle_s: u64,
    timeout_s: u32,
}

/// Prints the flows; with `service` (`NAMESPACE/NAME`) only those of that Service.
pub fn flows(pins: &Pins, output: Output, service: Option<&(String, String)>) -> anyhow::Result<ExitCode> {
    pins.require()?;
    let tables = Tables::open(pins, Access::Read)?;
    let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
    let lines: Vec<_> = flows::read(pins)?
        .iter()
        .map(|flow| (owner(&applied, flow), flow))
        .filter(|(owner, _)| !owner.is_some_and(is_own))
        .filter(|(owner, _)| {
            service.is_none_or(|(namespace, name)| {
                owner.is_some_and(|key| *key.namespace == **namespace && *key.name == **name)
            })
        })
        .map(|(owner, flow)| line(owner, flow))
        .collect();
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&lines)?),
        Output::Table => print_table(&lines),
    }
    Ok(ExitCode::SUCCESS)
}

fn owner<'a>(applied: &'a Applied, flow: &Flow) -> Option<&'a ServicePortKey> {
    applied.tables(flow.family).service(flow.service)?.key.as_ref()
}

fn line(owner: Option<&ServicePortKey>, flow: &Flow) -> Line {
    Line {
        namespace: owner.map(|key| key.namespace.as_ref().into()),
        name: owner.map(|key| key.name.as_ref().into()),
        port_name: owner.map(|key| key.port_name.as_ref().into()),
        protocol: flow.state.protocol(),
        client: flow.client.to_string(),
        frontend: flow.frontend.to_string(),
        source: flow.source.to_string(),
        backend: flow.backend.to_string(),
        established: flow.established,
        closing: flow.closing,
        state: flow.state.as_str(),
        idle_seconds: flow.idle_seconds,
        idle_s: flow.idle_seconds,
        timeout_s: flow.timeout_seconds,
    }
}

fn print_table(lines: &[Line]) {
    let row = |line: &Line| {
        let service = match (&line.namespace, &line.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            _ => "gone".into(),
        };
        vec![
            service,
            line.protocol.into(),
            line.client.clone(),
            line.frontend.clone(),
            line.source.clone(),
            line.backend.clone(),
            line.state.into(),
            format!("{} of {} s", line.idle_s, line.timeout_s),
        ]
    };
    table::print(
        &["SERVICE", "PROTOCOL", "CLIENT", "FRONTEND", "SEEN AS", "BACKEND", "STATE", "IDLE"],
        &lines.iter().map(row).collect::<Vec<_>>(),
    );
}
