//! What goes wrong is said in one line, with the exit code that is promised.

use std::process::Output;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2},
    manifest::Service,
};

use crate::support::world;

/// Asserts the exit code, and that standard error has one line with these words.
pub(crate) fn says(output: &Output, code: i32, words: &str) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    let is_right = output.status.code() == Some(code) && text.lines().count() == 1 && text.contains(words);
    ensure!(is_right, "expected exit code {code} and one line with {words:?}: {:?}\n{text}", output.status);
    Ok(())
}

fn run(world: &World, arguments: &[&str]) -> anyhow::Result<Output> {
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    world.raw(&NODE1, &arguments)
}

#[test]
fn wrong_flags_are_named() -> anyhow::Result<()> {
    world(|world| {
        let folder = world.path("missing").to_string_lossy().into_owned();
        let manifests = world.manifests().to_string_lossy().into_owned();
        let cases: [(&[&str], &str); 7] = [
            (&["run", "--manifests", &manifests, "--sideways"], "--sideways"),
            (&["run", "--manifests", &manifests, "--socket-lb", "most"], "--socket-lb"),
            (&["run", "--manifests", &folder], "--manifests"),
            (&["run", "--manifests", &manifests, "--cgroup", &folder], "--cgroup"),
            (&["run", "--manifests", &manifests, "--node-name", ""], "--node-name"),
            (&["status", "--wait-synced", "soon"], "--wait-synced"),
            (&["sideways"], "sideways"),
        ];
        for (arguments, words) in cases {
            says(&run(world, arguments)?, 2, words)?;
        }
        Ok(())
    })
}

#[test]
fn pins_need_a_bpf_file_system() -> anyhow::Result<()> {
    world(|world| {
        let plain = world.path("plain").to_string_lossy().into_owned();
        let manifests = world.manifests().to_string_lossy().into_owned();
        says(&run(world, &["run", "--manifests", &manifests, "--bpffs", &plain])?, 2, &plain)?;
        let check = run(world, &["check", "--bpffs", &plain])?;
        ensure!(check.status.code() == Some(1), "{check:?}");
        ensure!(String::from_utf8_lossy(&check.stdout).contains(&plain), "{check:?}");
        Ok(())
    })
}

#[test]
fn cleanup_removes_nothing_but_pins() -> anyhow::Result<()> {
    world(|world| {
        let plain = world.path("precious");
        let file = plain.join("v1").join("maps").join("file");
        std::fs::create_dir_all(plain.join("v1").join("maps"))?;
        std::fs::write(&file, "precious")?;
        says(&run(world, &["cleanup", "--bpffs", &plain.to_string_lossy()])?, 1, "BPF file system")?;
        ensure!(file.is_file(), "cleanup removed an ordinary file");
        Ok(())
    })
}

#[test]
fn cleanup_is_refused_while_an_agent_runs() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("stays", 91, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        says(&world.svclb(&["cleanup"])?, 1, "another svclb agent")?;
        let to = Frontend::ClusterIp.of(91, Family::V4);
        let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 5)?;
        ensure!(answers.answered() == 5, "{answers:?}");
        ensure!(agent.terminate()?.success());
        ensure!(world.svclb(&["cleanup"])?.status.success(), "cleanup after the agent");
        Ok(())
    })
}

#[test]
fn reports_need_an_agent_that_has_run() -> anyhow::Result<()> {
    world(|world| {
        for command in [&["status"][..], &["services"], &["status", "-o", "json"]] {
            says(&world.svclb(command)?, 1, "nothing is pinned")?;
        }
        says(&world.svclb(&["status", "--wait-synced", "50ms"])?, 1, "not in sync")
    })
}

#[test]
fn reports_outlive_the_agent() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("told", 90, &[]))?;
        let agent = Agent::start(world, &[])?;
        ensure!(world.svclb(&["status", "--wait-synced", "50ms"])?.status.success(), "not in sync");
        ensure!(world.status()?.synced, "status contradicts itself");
        ensure!(agent.terminate()?.success());
        ensure!(!world.status()?.synced, "in sync without an agent");
        says(&world.svclb(&["status", "--wait-synced", "50ms"])?, 1, "not in sync")?;
        let services = String::from_utf8(world.svclb(&["services", "-o", "json"])?.stdout)?;
        ensure!(services.contains("\"told\""), "{services}");
        Ok(())
    })
}

#[test]
fn a_second_agent_is_refused() -> anyhow::Result<()> {
    world(|world| {
        let _agent = Agent::start(world, &[])?;
        says(&world.raw(&NODE1, &world.run_args(&NODE1, &[]))?, 1, "another svclb agent")
    })
}

#[test]
fn check_passes_where_the_agent_runs() -> anyhow::Result<()> {
    world(|world| {
        let cgroup = world.cgroup(NODE1.name).to_string_lossy().into_owned();
        let check = world.svclb(&["check", "--cgroup", &cgroup])?;
        let text = String::from_utf8_lossy(&check.stdout);
        ensure!(check.status.success(), "{text}");
        for device in ["eth0", "veth-pod1", "veth-pod2"] {
            ensure!(
                text.lines().any(|line| line.starts_with("ok") && line.contains(device)),
                "{device}: {text}"
            );
        }
        Ok(())
    })
}
