//! `cargo xtask bench`: measurements. They tell, and fail nothing.

mod control_plane;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::{bytecode, workspace::Workspace};

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bench {
    /// What following a cluster costs the agent: time, memory, writes; needs root.
    ControlPlane {
        /// Only these clusters [default: all: 1k, 10k, 10kx10, 44k, 250k].
        clusters: Vec<String>,
        /// Write all figures to it.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Nanoseconds per packet of every path, against a floor; needs root.
    Hotpath {
        /// Rounds, each of 40 passes over all cases.
        #[arg(long, default_value_t = 9)]
        rounds: u32,
        /// Packets of a case in a round.
        #[arg(long, default_value_t = 1_000_000)]
        packets: u32,
        /// Only cases with this in their names, and what they are compared with.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Measure the paths of another build of the datapath's object as well, in the same rounds.
        #[arg(long, value_name = "LABEL=FILE")]
        with: Vec<String>,
        /// Write all figures to it.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

/// Builds what is measured and what measures it, and runs that.
pub(crate) fn bench(workspace: &Workspace, bench: &Bench) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("loading programs needs root: run it as root");
    }
    match bench {
        Bench::ControlPlane { clusters, json } => {
            control_plane::control_plane(workspace, clusters, json.as_deref())
        }
        Bench::Hotpath { rounds, packets, only, with, json } => {
            bytecode::build(workspace)?;
            let object = bytecode::build_bench(workspace)?;
            let mut cargo = workspace
                .cargo(&["run", "--locked", "--quiet", "--package", "svclb-bench", "--bin", "hotpath", "--"])
                .arg("--programs")
                .arg(object)
                .arg(format!("--rounds={rounds}"))
                .arg(format!("--packets={packets}"));
            if let Some(only) = only {
                cargo = cargo.arg(format!("--only={only}"));
            }
            for other in with {
                cargo = cargo.arg(format!("--with={other}"));
            }
            if let Some(json) = json {
                cargo = cargo.arg("--json").arg(std::path::absolute(json)?);
            }
            Ok(cargo.run()?)
        }
    }
}
