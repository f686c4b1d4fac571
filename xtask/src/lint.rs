//! `cargo xtask lint`: everything that can be said about the source without running it.

use anyhow::{Context as _, bail};

use crate::{
    bytecode, licences, tidy,
    workspace::{Workspace, on_path},
};

/// Checks format, rules, licences and clippy, the quick ones first. Rules and licences report all they find.
pub(crate) fn lint(workspace: &Workspace) -> anyhow::Result<()> {
    provide(workspace, "fmt", "rustfmt")?;
    provide(workspace, "clippy", "clippy")?;
    workspace.cargo(&["fmt", "--all", "--check"]).run()?;
    let mut findings = tidy::check(workspace)?;
    if on_path("cargo-deny") {
        workspace.cargo(&["deny", "check", "licenses", "bans", "sources"]).run()?;
    } else {
        findings.extend(licences::check(workspace)?);
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} to mend, named above", findings.len());
    }

    // which the agent includes, so that it does not compile without
    bytecode::build(workspace)?;
    let kernel = ["svclb-ebpf", "svclb-bench-ebpf"];
    let host = ["--workspace", "--exclude", kernel[0], "--exclude", kernel[1], "--all-targets"];
    clippy(workspace, &host, None)?;
    // without std there is nothing to unwind with, and clippy runs on the host's target, which would
    let kernel = ["--package", kernel[0], "--package", kernel[1]];
    clippy(workspace, &kernel, Some(("CARGO_PROFILE_DEV_PANIC", "abort")))?;
    eprintln!("xtask: format, rules, licences and clippy have no complaint");
    Ok(())
}

/// A minimal toolchain has neither.
fn provide(workspace: &Workspace, command: &str, component: &str) -> anyhow::Result<()> {
    let version = workspace.cargo(&[command, "--version"]).quiet().ignore_stdout().ignore_stderr();
    if version.run().is_ok() {
        return Ok(());
    }
    eprintln!("xtask: adding rustup's component {component}");
    let add = workspace.shell.cmd("rustup").args(["component", "add", component]);
    add.run().with_context(|| format!("cargo {command} is missing: rustup component add {component}"))
}

fn clippy(workspace: &Workspace, which: &[&str], variable: Option<(&str, &str)>) -> anyhow::Result<()> {
    let clippy = workspace.cargo(&["clippy", "--locked", "--quiet"]).args(which);
    Ok(clippy.args(["--", "-D", "warnings"]).envs(variable).run()?)
}
