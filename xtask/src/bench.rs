//! `cargo xtask bench`: measurements. They tell, and fail nothing.

mod control_plane;
mod hotpath;
mod output;
mod traffic;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use self::{control_plane::ControlPlane, hotpath::Hotpath, output::Output, traffic::Traffic};
use crate::{plot, workspace::Workspace};

/// What is measured: all, if nothing is named.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Benches {
    #[command(subcommand)]
    bench: Option<Bench>,
    #[command(flatten)]
    all: All,
}

/// All three, one after the other, as each does by default.
#[derive(Debug, Clone, Args)]
pub(crate) struct All {
    /// Measure kube-proxy's modes as well, of a binary with iptables and nft beside it on the path.
    #[arg(long, value_name = "BINARY")]
    kube_proxy: Option<PathBuf>,
    /// Write a line of JSON for each figure to it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One bench.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bench {
    /// All three, one after the other, as each does by default; needs root.
    All(All),
    /// What following a cluster costs the agent: time, memory, writes; needs root.
    ControlPlane(ControlPlane),
    /// Nanoseconds per packet of every path, against a floor; needs root.
    Hotpath(Hotpath),
    /// Pictures of what the others have written with --details.
    Plot {
        /// Their files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the pictures go.
        #[arg(long, value_name = "DIR", default_value = "docs/plots")]
        out: PathBuf,
    },
    /// Latency and rates of connections through Services, with and without kube-proxy; needs root.
    Traffic(Traffic),
}

/// What a bench does by default.
#[derive(Parser)]
struct Default<T: Args> {
    #[command(flatten)]
    bench: T,
}

fn by_default<T: Args>() -> T {
    Default::parse_from(["bench"]).bench
}

/// Builds what is measured and what measures it, and runs that.
pub(crate) fn bench(workspace: &Workspace, benches: Benches) -> anyhow::Result<()> {
    let bench = benches.bench.unwrap_or(Bench::All(benches.all));
    let is_drawing = matches!(bench, Bench::Plot { .. });
    if !is_drawing && !nix::unistd::geteuid().is_root() {
        bail!("loading programs needs root: run it as root");
    }
    match &bench {
        Bench::All(All { kube_proxy, json }) => {
            let output = Output { json: json.clone(), details: None };
            output.begin()?;
            hotpath::hotpath(workspace, &Hotpath { output: output.clone(), ..by_default() })?;
            let kube_proxy = || kube_proxy.clone();
            let traffic = Traffic { kube_proxy: kube_proxy(), output: output.clone(), ..by_default() };
            traffic::traffic(workspace, &traffic)?;
            let control_plane = ControlPlane { kube_proxy: kube_proxy(), output, ..by_default() };
            control_plane::control_plane(workspace, &control_plane)
        }
        Bench::ControlPlane(control_plane) => {
            control_plane.output.begin()?;
            control_plane::control_plane(workspace, control_plane)
        }
        Bench::Plot { files, out } => plot::plot(files, out),
        Bench::Traffic(traffic) => {
            traffic.output.begin()?;
            traffic::traffic(workspace, traffic)
        }
        Bench::Hotpath(hotpath) => {
            hotpath.output.begin()?;
            hotpath::hotpath(workspace, hotpath)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_what_each_does_by_default() {
        let hotpath: Hotpath = by_default();
        assert_eq!((hotpath.rounds, hotpath.only), (9, None));
        let control_plane: ControlPlane = by_default();
        assert!(control_plane.clusters.is_empty() && control_plane.kube_proxy.is_none());
        let _: Traffic = by_default();
    }
}
