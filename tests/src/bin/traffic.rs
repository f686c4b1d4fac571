//! `svclb-traffic`: what traffic costs with each proxy; `cargo xtask bench traffic` builds what it needs.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use svclb_tests::{
    figure,
    traffic::{measure, part, proxy::Programs, report::Report, rounds::Effort},
};

/// Measures traffic with each proxy.
#[derive(Parser)]
struct Cli {
    /// The agent.
    agent: PathBuf,
    /// kube-proxy, whose modes iptables and nftables are measured as well.
    #[arg(long, value_name = "BINARY")]
    kube_proxy: Option<PathBuf>,
    /// Numbers of Services.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000")]
    services: Vec<u32>,
    /// Rounds, each of five passes over everything.
    #[arg(long, default_value_t = 12)]
    rounds: u32,
    /// Connections of a case in a pass.
    #[arg(long, default_value_t = 300)]
    amount: u32,
    /// Milliseconds of bulk of a case in a round.
    #[arg(long, default_value_t = 150)]
    bulk: u32,
    /// Add a line of JSON for each figure to it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write everything to it, rounds and machine included.
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    if let Some(outcome) = part::perform(std::env::args().skip(1)) {
        return outcome;
    }
    let Cli { agent, kube_proxy, services, rounds, amount, bulk, json, details } = Cli::parse();
    let programs = Programs { agent, kube_proxy };
    let effort = Effort { rounds, amount, bulk };
    let sizes = services.iter().map(|services| measure(&programs, *services, effort));
    let report = Report::new(effort, sizes.collect::<anyhow::Result<_>>()?)?;
    if let Some(file) = json {
        figure::append(&file, &report.figures())?;
    }
    if let Some(file) = details {
        fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| file.display().to_string())?;
    }
    print!("{}", report.tables());
    Ok(())
}
