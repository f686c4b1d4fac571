//! The embedded world tells the truth about itself.

use std::process::{self, Command, Output};

use anyhow::ensure;
use svclb_tests::netns::{World, layout::CLIENT};

use crate::support::world;

/// Runs the embedded world inside a namespace of this one, so that it sees none of the host's devices.
fn sandbox(world: &World, name: &str, flags: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(&world.ground().svclb);
    command.args(["sandbox", "--once", "--requests", "40", "--prefix", &format!("{name}{}", process::id())]);
    command.args(flags);
    Ok(world.namespace(CLIENT.name).run(move || command.output())??)
}

#[test]
fn the_embedded_world_works() -> anyhow::Result<()> {
    world(|world| {
        let output = sandbox(world, "whole", &[])?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(!String::from_utf8_lossy(&output.stdout).contains("FAILED"), "{output:?}");
        Ok(())
    })
}

#[test]
fn the_embedded_world_names_what_fails() -> anyhow::Result<()> {
    world(|world| {
        let output = sandbox(world, "broken", &["--break-backend", "pod3"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(text.lines().any(|line| line.starts_with("FAILED")), "{text}");
        Ok(())
    })
}
