//! The agent works with the capabilities that `deploy/svclb.yaml` gives it, and with none less.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use svclb_tests::netns::{Agent, World, layout::NODE1};

use crate::{cleanup, restart, support::world_on};

/// The capabilities in the manifest, as setpriv writes them.
fn granted() -> anyhow::Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/svclb.yaml");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path)?)?;
    let daemon_set = objects.iter().find(|object| object["kind"] == "DaemonSet").context("no DaemonSet")?;
    let container = &daemon_set["spec"]["template"]["spec"]["containers"][0];
    let add = container["securityContext"]["capabilities"]["add"].as_array().context("no capabilities")?;
    Ok(add.iter().filter_map(|name| Some(name.as_str()?.to_lowercase())).collect())
}

/// A program in `folder` that becomes the agent, with root's name and these capabilities at most.
fn confined(folder: &Path, svclb: &Path, capabilities: &[String]) -> anyhow::Result<PathBuf> {
    let set =
        ["-all"].into_iter().chain(capabilities.iter().map(String::as_str)).collect::<Vec<_>>().join(",+");
    let script = format!(
        "#!/bin/sh\nexec setpriv --no-new-privs --bounding-set={set} --inh-caps={set} {} \"$@\"\n",
        svclb.display()
    );
    let program = folder.join("svclb");
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// Runs a test in a world whose agents have these capabilities at most.
fn with(capabilities: &[String], body: impl FnOnce(&mut World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    world_on(
        |ground| {
            ground.svclb = confined(folder.path(), &ground.svclb, capabilities)?;
            Ok(())
        },
        body,
    )
}

#[test]
fn the_granted_ones_are_enough_for_two_agents_in_turn() -> anyhow::Result<()> {
    with(&granted()?, |world| restart::under_load(world, Signal::SIGTERM, &[]))
}

#[test]
fn the_granted_ones_are_enough_for_clsact() -> anyhow::Result<()> {
    with(&granted()?, |world| restart::under_load(world, Signal::SIGKILL, &["--tc", "clsact"]))
}

#[test]
fn the_granted_ones_are_enough_to_clean_up() -> anyhow::Result<()> {
    with(&granted()?, |world| cleanup::leaves_nothing(world, &[]))
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_granted_ones_are_enough_to_take_over_from_another_layout() -> anyhow::Result<()> {
    with(&granted()?, |world| crate::upgrade::is_carried(world, &[], Signal::SIGTERM))
}

#[test]
fn each_of_them_is_needed() -> anyhow::Result<()> {
    let granted = granted()?;
    for missing in &granted {
        let others: Vec<String> = granted.iter().filter(|name| *name != missing).cloned().collect();
        with(&others, |world| {
            let status = Agent::launch(world, &NODE1, &[])?.wait()?;
            ensure!(!status.success(), "without {missing}: {status}");
            Ok(())
        })?;
    }
    Ok(())
}
