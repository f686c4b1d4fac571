//! `cargo xtask bench traffic`: connections through a release build of the agent, and through other proxies.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use crate::{bytecode, run::build_agent, workspace::Workspace};

/// How much is measured, and with what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Traffic {
    /// Numbers of Services.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000")]
    pub(super) services: Vec<u32>,
    /// Rounds, each of five passes over everything.
    #[arg(long, default_value_t = 12)]
    pub(super) rounds: u32,
    /// Connections of a case in a pass.
    #[arg(long, default_value_t = 300)]
    pub(super) amount: u32,
    /// Milliseconds of bulk of a case in a round.
    #[arg(long, default_value_t = 150)]
    pub(super) bulk: u32,
    /// Measure kube-proxy's modes as well, of a binary with iptables and nft beside it on the path.
    #[arg(long, value_name = "BINARY")]
    pub(super) kube_proxy: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Measures traffic.
pub(super) fn traffic(workspace: &Workspace, traffic: &Traffic) -> anyhow::Result<()> {
    let Traffic { services, rounds, amount, bulk, kube_proxy, output } = traffic;
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &["--release"])?;
    let services: Vec<String> = services.iter().map(u32::to_string).collect();
    let mut cargo = workspace
        .cargo(&["run", "--locked", "--quiet", "--release", "--package", "svclb-tests"])
        .args(["--bin", "svclb-traffic", "--"])
        .arg(agent)
        .args([format!("--rounds={rounds}"), format!("--amount={amount}"), format!("--bulk={bulk}")])
        .arg(format!("--services={}", services.join(",")))
        .args(output.arguments()?);
    if let Some(binary) = kube_proxy {
        cargo = cargo.arg("--kube-proxy").arg(std::path::absolute(binary)?);
    }
    Ok(cargo.run()?)
}
