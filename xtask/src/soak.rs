//! `cargo xtask soak`: everything that may happen, at once and under load.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use xshell::cmd;

use crate::{bytecode, run::build_agent, test, workspace::Workspace};

/// What fits into CI.
const MINUTES: u32 = 5;

/// How long, and what is left of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Soak {
    /// For so long; every event happens at least once.
    #[arg(long, default_value_t = MINUTES)]
    minutes: u32,
    /// The number that an earlier run has printed, for the same order of events.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the tables to it as lines of JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Default for Soak {
    fn default() -> Self {
        Self { minutes: MINUTES, seed: None, json: None }
    }
}

/// Builds the agent and the clients, and lets everything happen to them.
pub(crate) fn soak(workspace: &Workspace, soak: &Soak) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("namespaces and programs need root: run it as root");
    }
    test::provide_commands(workspace)?;
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &[])?;
    let tests =
        ["build", "--locked", "--package", "svclb-tests", "--bin", "svclb-probe", "--bin", "svclb-soak"];
    workspace.cargo(&tests).run()?;
    // cargo puts all binaries into one folder
    let [probe, program] = ["svclb-probe", "svclb-soak"].map(|name| agent.with_file_name(name));
    let mut command = cmd!(workspace.shell, "{program} --probe {probe}").env("SVCLB_BIN", agent);
    command = command.arg(format!("--minutes={}", soak.minutes));
    if let Some(seed) = soak.seed {
        command = command.arg(format!("--seed={seed}"));
    }
    if let Some(file) = &soak.json {
        command = command.arg("--json").arg(std::path::absolute(file)?);
    }
    Ok(command.run()?)
}
