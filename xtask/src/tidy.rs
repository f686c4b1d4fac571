//! The rules of the repository that no compiler knows.

mod arrows;
mod index;
mod reliability;
mod rules;
mod semantics;
mod source;

use std::path::Path;

use anyhow::Context as _;

use crate::{tidy::source::Source, workspace::Workspace};

/// One line for each place that breaks a rule, as `file:line: what to do`.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let shell = &workspace.shell;
    // new files count before they are added, deleted ones no longer
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    // of another owner's repository, as in a container, git would list nothing
    let trust = format!("safe.directory={}", workspace.root.display());
    let git = shell.cmd("git").args(["-c", &trust]).args(list);
    let files = git.quiet().read().context("the rules need git and its list of files")?;
    let files: Vec<&str> = files.lines().filter(|path| shell.path_exists(path)).collect();

    let mut findings = Vec::new();
    for path in files.iter().filter(|path| Path::new(path).extension().is_some_and(|kind| kind == "rs")) {
        findings.extend(rules::check(&Source::new(path, &shell.read_file(path)?)));
    }
    findings.extend(arrows::check(&arrows::packages(&workspace.metadata)));
    findings.extend(index::check(&files, shell.read_file("README.md").ok().as_deref()));
    let page = shell.read_file(semantics::PAGE).ok();
    let tracked = |path: &str| files.contains(&path).then(|| shell.read_file(path).ok()).flatten();
    findings.extend(semantics::check(page.as_deref(), tracked));
    let page = shell.read_file(reliability::PAGE).ok();
    findings.extend(reliability::check(page.as_deref(), tracked));
    Ok(findings)
}
