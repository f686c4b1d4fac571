//! Faults of the world: what goes wrong around the agent is told in a line at most, and changes nothing for connections.

mod clock;
mod flood;
mod fresh;
mod hosts;
mod log;
mod others;
mod pins;
mod uplink;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::ensure;
use svclb_tests::netns::{
    Place, World,
    client::Mode,
    layout::{Family, Frontend, Machine, POD1},
};

use crate::support::world_on;

/// Runs a test in a world whose agents are started by a script. In it `$SVCLB` is the agent and `$@` are its arguments,
/// `$FOLDER` is a folder of the test's own; other commands than `run` are what they are.
fn with_script(
    script: &str,
    body: impl FnOnce(&mut World, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_owned();
    let own = path.clone();
    world_on(
        move |ground| {
            let program = path.join("svclb");
            let text = format!(
                "#!/bin/sh\nexport SVCLB={} FOLDER={}\n[ \"$1\" = run ] || exec \"$SVCLB\" \"$@\"\n{script}\n",
                ground.svclb.display(),
                path.display()
            );
            fs::write(&program, text)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            ground.svclb = program;
            Ok(())
        },
        |world| body(world, &own),
    )
}

/// Everybody is answered, in both families, and by these pods alone.
fn answers(world: &World, service: u8, pods: &[Machine]) -> anyhow::Result<()> {
    for family in Family::ALL {
        for (place, frontend) in [
            (Place::Pod(POD1), Frontend::ClusterIp),
            (Place::Host, Frontend::ClusterIp),
            (Place::Outside, Frontend::LoadBalancer),
        ] {
            let to = frontend.of(service, family);
            let answers = world.ask(place, Mode::Tcp, to, 4)?;
            let is_known = answers.pods.keys().all(|name| pods.iter().any(|pod| pod.name == name));
            ensure!(answers.answered() == 4 && is_known, "{place:?} {to}: {answers:?}");
        }
    }
    Ok(())
}
