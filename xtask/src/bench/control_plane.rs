//! `cargo xtask bench control-plane`: a release build of the agent before generated clusters.

use std::path::Path;

use crate::{bytecode, run::build_agent, workspace::Workspace};

/// Measures the agent with these clusters, or with all.
pub(super) fn control_plane(
    workspace: &Workspace,
    clusters: &[String],
    kube_proxy: Option<&Path>,
    json: Option<&Path>,
) -> anyhow::Result<()> {
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &["--release"])?;
    let mut cargo = workspace
        .cargo(&["run", "--locked", "--quiet", "--release", "--package", "svclb-tests"])
        .args(["--bin", "svclb-control-plane", "--"])
        .arg(agent)
        .args(clusters);
    if let Some(binary) = kube_proxy {
        cargo = cargo.arg("--kube-proxy").arg(std::path::absolute(binary)?);
    }
    if let Some(file) = json {
        cargo = cargo.arg("--json").arg(std::path::absolute(file)?);
    }
    Ok(cargo.run()?)
}
