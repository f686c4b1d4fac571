//! `cargo xtask bench control-plane`: a release build of the agent before generated clusters.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use crate::{bytecode, run::build_agent, workspace::Workspace};

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlane {
    /// Only these clusters [default: all: 1k, 10k, 10kx10, 44k, 250k].
    pub(super) clusters: Vec<String>,
    /// Look at kube-proxy's modes as well, of a binary with iptables and nft beside it on the path.
    #[arg(long, value_name = "BINARY")]
    pub(super) kube_proxy: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Measures the agent with these clusters, or with all.
pub(super) fn control_plane(workspace: &Workspace, control_plane: &ControlPlane) -> anyhow::Result<()> {
    let ControlPlane { clusters, kube_proxy, output } = control_plane;
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &["--release"])?;
    let mut cargo = workspace
        .cargo(&["run", "--locked", "--quiet", "--release", "--package", "svclb-tests"])
        .args(["--bin", "svclb-control-plane", "--"])
        .arg(agent)
        .args(clusters)
        .args(output.arguments()?);
    if let Some(binary) = kube_proxy {
        cargo = cargo.arg("--kube-proxy").arg(std::path::absolute(binary)?);
    }
    Ok(cargo.run()?)
}
