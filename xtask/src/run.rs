//! `cargo xtask run`: from a fresh clone to Services that answer.

use std::{
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use crate::{bytecode, workspace::Workspace};

/// The exit code of a wrong flag or configuration.
const WRONG_USE: u8 = 2;

/// Builds what is missing, then becomes the embedded world.
pub(crate) fn run(
    workspace: &Workspace,
    kubeconfig: Option<&Path>,
    args: &[String],
) -> anyhow::Result<ExitCode> {
    let variable = env::var_os("KUBECONFIG").unwrap_or_default();
    let named: Vec<PathBuf> = env::split_paths(&variable).filter(|path| path.is_file()).collect();
    if let Some(file) = kubeconfig.or(named.first().map(PathBuf::as_path)) {
        eprintln!(
            "xtask: {} names a cluster, but this version cannot follow an API server yet: it reads Services with \
             `svclb run --manifests DIR`; unset KUBECONFIG and --kubeconfig to see the embedded world",
            file.display()
        );
        return Ok(ExitCode::from(WRONG_USE));
    }
    bytecode::build(workspace)?;
    let agent = build_agent(workspace, &["--release"])?;
    // in place of this process, so that signals and the exit code are the agent's own
    let error = Command::new(&agent).arg("sandbox").args(args).exec();
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
