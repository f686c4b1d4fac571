//! `cargo xtask bench hotpath`: nanoseconds per packet of every path of the programs, against a floor.
//!
//! | module | noun |
//! |---|---|
//! | [`case`] | one thing that is measured |
//! | [`cases`] | everything that is measured |
//! | [`world`] | the node, its Services, and the flows that are there |
//! | [`frame`] | TCP frames |
//! | [`wrapper`] | the programs that run all others |
//! | [`template`] | the frame that they restore |
//! | [`floor`] | the floor's tables |
//! | [`name`] | what figures call cases |
//! | [`lookups`] | how often a path asks hashes |
//! | [`rounds`] | passes over all cases |
//! | [`stats`] | few numbers for many |
//! | [`report`] | tables and JSON |

mod case;
mod cases;
mod floor;
mod frame;
mod lookups;
mod name;
mod report;
mod rounds;
mod stats;
#[path = "../../../bench-ebpf/src/template.rs"]
mod template;
mod world;
mod wrapper;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use svclb_tests::figure;

use svclb::datapath::object::BYTECODE;

use crate::{cases::Build, report::Report, wrapper::Wrapper};

/// Measures the programs' paths; `cargo xtask bench hotpath` builds what it needs.
#[derive(Parser)]
struct Cli {
    /// The object of the wrapper and of the floor.
    #[arg(long, value_name = "FILE")]
    programs: PathBuf,
    /// Rounds, each of 40 passes over all cases.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Packets of a case in a round.
    #[arg(long, default_value_t = 1_000_000)]
    packets: u32,
    /// The processor that everything runs on.
    #[arg(long, default_value_t = 0)]
    processor: usize,
    /// Only cases with this in their names, and what they are compared with.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Measure the paths of another build of the datapath's object as well.
    #[arg(long, value_name = "LABEL=FILE")]
    with: Vec<String>,
    /// Add a line of JSON for each figure to it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write everything to it, rounds and machine included.
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut processors = CpuSet::new();
    processors.set(cli.processor)?;
    sched_setaffinity(Pid::from_raw(0), &processors).context("no such processor")?;

    let node = world::node()?;
    let mut wrapper = Wrapper::new(&cli.programs)?;
    floor::fill(&mut wrapper)?;
    let mut builds = vec![Build { label: String::new(), object: BYTECODE.to_vec() }];
    for other in &cli.with {
        let (label, file) = other.split_once('=').context("--with takes LABEL=FILE")?;
        let object = fs::read(file).with_context(|| file.to_owned())?;
        builds.push(Build { label: format!(", {label}"), object });
    }
    let (cases, mut worlds) = cases::all(&mut wrapper, &node, &builds, &cli.only)?;
    let times = rounds::run(&mut wrapper, &cases, cli.rounds, cli.packets)?;
    for world in &mut worlds {
        world.tell_drops()?;
    }
    let report = Report::new(&cases, &times, cli.rounds, cli.packets)?;
    report.print();
    if let Some(file) = &cli.json {
        figure::append(file, &report.figures())?;
    }
    if let Some(file) = &cli.details {
        report.write(file)?;
    }
    Ok(())
}
