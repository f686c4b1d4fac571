//! Hosts that are not set up as most are: no BPF file system, no control groups of version 2, two agents.

use anyhow::{Context as _, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, unshare},
};
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2},
    manifest::Service,
    wait::{PATIENCE, until},
};

use super::{answers, with_script};
use crate::{errors::says, support::world};

const SERVICE: u8 = 161;

/// The arguments of the first node's agent without this flag and its value.
fn without(world: &World, flag: &str, more: &[&str]) -> Vec<String> {
    let arguments = world.run_args(&NODE1, more);
    let at = arguments.iter().position(|argument| argument == flag);
    let is_it = |index: usize| at.is_some_and(|at| index == at || index == at + 1);
    arguments.into_iter().enumerate().filter(|(index, _)| !is_it(*index)).map(|(_, text)| text).collect()
}

/// A host that has none but version 1.
const OLD: &str = r#"exec unshare --mount --propagation private sh -c '
    while read -r _ at kind _; do [ "$kind" != cgroup2 ] || umount -l "$at"; done </proc/self/mounts
    exec "$SVCLB" "$@"
' sh "$@""#;

#[test]
fn a_host_without_cgroup_v2_translates_packets_and_says_so() -> anyhow::Result<()> {
    with_script(OLD, |world, _| {
        world.publish(&Service::new("old", SERVICE, &[POD2]))?;
        let arguments = without(world, "--cgroup", &[]);
        let mut agent = Agent::launch_with(world, &NODE1, arguments)?;
        agent.wait_synced(world)?;
        answers(world, SERVICE, &[POD2])?;
        let log = agent.log().text();
        let told = log.lines().filter(|line| line.contains("cgroup v2 is not mounted")).count();
        ensure!(told == 1, "{told} lines:\n{log}");
        let attached = world.status()?.attached;
        ensure!(attached.iter().all(|attached| attached.device != "cgroup"), "{attached:?}");
        ensure!(agent.terminate()?.success());
        for asked in ["all", "host"] {
            let arguments = without(world, "--cgroup", &["--socket-lb", asked]);
            says(&world.raw(&NODE1, &arguments)?, 2, "--socket-lb=off")?;
        }
        Ok(())
    })
}

/// A host that has both, where version 2 is not at the usual place. What is below belongs to this world alone.
const BOTH: &str = r#"exec unshare --cgroup --mount --propagation private sh -c '
    umount -l /sys/fs/cgroup && mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/cpu /sys/fs/cgroup/unified &&
    mount -t tmpfs none /sys/fs/cgroup/cpu && mount -t cgroup2 none /sys/fs/cgroup/unified && exec "$SVCLB" "$@"
' sh "$@""#;

#[test]
fn version_2_is_found_beside_version_1() -> anyhow::Result<()> {
    with_script(BOTH, |world, _| {
        world.publish(&Service::new("both", SERVICE, &[POD2]))?;
        let arguments = without(world, "--cgroup", &["--socket-lb", "all"]);
        let mut agent = Agent::launch_with(world, &NODE1, arguments)?;
        agent.wait_synced(world)?;
        let attached = world.status()?.attached;
        ensure!(attached.iter().any(|attached| attached.hook == "cgroup_connect4"), "{attached:?}");
        answers(world, SERVICE, &[POD2])
    })
}

#[test]
fn the_bpf_file_system_is_mounted_where_it_belongs() -> anyhow::Result<()> {
    const MOUNTED: &str = "mounted a BPF file system at /sys/fs/bpf";
    world(|world| {
        world.publish(&Service::new("bare", SERVICE, &[POD2]))?;
        // The mounts of what starts on this node from now on, and of nothing else.
        let prepared = world.namespace(NODE1.name).run(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            // It may be mounted more than once, or not at all.
            while umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).is_ok() {}
            nix::Result::Ok(())
        })?;
        prepared.context("mounts of the node's own")?;
        let arguments = without(world, "--bpffs", &[]);
        let status = ["status", "--wait-synced", "1s"].map(String::from);
        for mounts in [true, false] {
            let agent = Agent::launch_with(world, &NODE1, arguments.clone())?;
            until("an agent in sync", PATIENCE * 4, || {
                Ok(world.raw(&NODE1, &status)?.status.success().then_some(()))
            })
            .with_context(|| agent.log().text())?;
            answers(world, SERVICE, &[POD2])?;
            let log = agent.log().text();
            ensure!(log.contains(MOUNTED) == mounts, "{log}");
            ensure!(agent.terminate()?.success());
        }
        let cleanup = world.raw(&NODE1, &["cleanup".to_owned()])?;
        ensure!(cleanup.status.success(), "{cleanup:?}");
        Ok(())
    })
}

#[test]
fn of_two_that_start_at_once_one_runs() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("once", SERVICE, &[POD2]))?;
        // Without pins, and with them.
        for _ in 0..2 {
            let mut agents = [Agent::launch(world, &NODE1, &[])?, Agent::launch(world, &NODE1, &[])?];
            let (loser, _) = until("one that ends", PATIENCE * 4, || {
                let ended = [agents[0].has_ended()?, agents[1].has_ended()?];
                Ok(ended.iter().position(|has_ended| *has_ended))
            })?;
            let [first, second] = agents;
            let (loser, mut winner) = if loser == 0 { (first, second) } else { (second, first) };
            let log = loser.log().text();
            ensure!(log.contains("another svclb agent"), "{log}");
            ensure!(!loser.wait()?.success());
            winner.wait_synced(world)?;
            answers(world, SERVICE, &[POD2])?;
            ensure!(winner.terminate()?.success());
        }
        Ok(())
    })
}
