//! `cargo xtask run`: from a fresh clone to Services that answer.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use crate::{bytecode, cluster, workspace::Workspace};

/// Builds what is missing, then becomes the agent of a cluster that answers, or else the embedded world.
pub(crate) fn run(
    workspace: &Workspace,
    kubeconfig: Option<&Path>,
    args: &[String],
) -> anyhow::Result<ExitCode> {
    let cluster = cluster::kubeconfig(kubeconfig).filter(|file| match cluster::reach(file) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("xtask: no cluster: {error:#}; here is the embedded world instead");
            false
        }
    });
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &["--release"])?;
    let mut command = Command::new(&agent);
    match cluster {
        Some(file) => {
            eprintln!("xtask: the agent of this host, for the cluster of {}", file.display());
            command.arg("run").arg("--kubeconfig").arg(file)
        }
        None => command.arg("sandbox"),
    };
    // in place of this process, so that signals and the exit code are the agent's own
    let error = command.args(args).exec();
    Err(anyhow!("cannot start {}: {error}", agent.display()))
}

/// Builds the agent and says where it is, which depends on the profile and on the user's cargo configuration.
pub(crate) fn build_agent(workspace: &Workspace, flags: &[&str]) -> anyhow::Result<PathBuf> {
    let messages = workspace
        .cargo(&["build", "--locked", "--package", "svclb", "--bin", "svclb"])
        .args(["--message-format", "json-render-diagnostics"])
        .args(flags)
        .quiet()
        .read()
        .context("the agent did not build: its compiler says why above")?;
    messages.lines().rev().find_map(executable).context("cargo built no executable named svclb")
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message["target"]["name"] == "svclb").then_some(())?;
    message["executable"].as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"svclb"},"executable":null}"#;
        let binary =
            r#"{"reason":"compiler-artifact","target":{"name":"svclb"},"executable":"/t/debug/svclb"}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(binary), Some(PathBuf::from("/t/debug/svclb")));
        assert_eq!(executable("no JSON"), None);
    }
}
