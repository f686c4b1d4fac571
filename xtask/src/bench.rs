//! `cargo xtask bench`: measurements. They tell, and fail nothing.

mod control_plane;
mod traffic;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::{bytecode, plot, workspace::Workspace};

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bench {
    /// What following a cluster costs the agent: time, memory, writes; needs root.
    ControlPlane {
        /// Only these clusters [default: all: 1k, 10k, 10kx10, 44k, 250k].
        clusters: Vec<String>,
        /// Look at kube-proxy's modes as well, of a binary with iptables and nft beside it on the path.
        #[arg(long, value_name = "BINARY")]
        kube_proxy: Option<PathBuf>,
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
    /// Pictures of what the others have written with --json.
    Plot {
        /// Their files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the pictures go.
        #[arg(long, value_name = "DIR", default_value = "docs/plots")]
        out: PathBuf,
    },
    /// Latency and rates of connections through Services, with and without kube-proxy; needs root.
    Traffic(traffic::Traffic),
}

/// Builds what is measured and what measures it, and runs that.
pub(crate) fn bench(workspace: &Workspace, bench: &Bench) -> anyhow::Result<()> {
    let is_drawing = matches!(bench, Bench::Plot { .. });
    if !is_drawing && !nix::unistd::geteuid().is_root() {
        bail!("loading programs needs root: run it as root");
    }
    match bench {
        Bench::ControlPlane { clusters, kube_proxy, json } => {
            control_plane::control_plane(workspace, clusters, kube_proxy.as_deref(), json.as_deref())
        }
        Bench::Plot { files, out } => plot::plot(files, out),
        Bench::Traffic(traffic) => traffic::traffic(workspace, traffic),
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
