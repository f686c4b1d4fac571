//! `cargo xtask bench hotpath`: packets through the loaded programs.

use clap::Args;

use super::output::Output;
use crate::{bytecode, workspace::Workspace};

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Hotpath {
    /// Rounds, each of 40 passes over all cases.
    #[arg(long, default_value_t = 9)]
    pub(super) rounds: u32,
    /// Packets of a case in a round.
    #[arg(long, default_value_t = 1_000_000)]
    pub(super) packets: u32,
    /// Only cases with this in their names, and what they are compared with.
    #[arg(long, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// Measure the paths of another build of the datapath's object as well, in the same rounds.
    #[arg(long, value_name = "LABEL=FILE")]
    pub(super) with: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Measures packets.
pub(super) fn hotpath(workspace: &Workspace, hotpath: &Hotpath) -> anyhow::Result<()> {
    let Hotpath { rounds, packets, only, with, output } = hotpath;
    bytecode::build(workspace)?;
    let object = bytecode::build_bench(workspace)?;
    let mut cargo = workspace
        .cargo(&["run", "--locked", "--quiet", "--package", "svclb-bench", "--bin", "hotpath", "--"])
        .arg("--programs")
        .arg(object)
        .args([format!("--rounds={rounds}"), format!("--packets={packets}")])
        .args(output.arguments()?);
    if let Some(only) = only {
        cargo = cargo.arg(format!("--only={only}"));
    }
    for other in with {
        cargo = cargo.arg(format!("--with={other}"));
    }
    Ok(cargo.run()?)
}
