//! `cargo xtask bench`: measurements. They tell, and fail nothing.

mod control_plane;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::workspace::Workspace;

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
    }
}
