//! Where the agent writes: nobody needs to read its log, and no disk needs to have room.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use anyhow::ensure;
use nix::{fcntl::OFlag, sys::stat::Mode as Bits, unistd::mkfifo};
use svclb_tests::netns::{
    Agent, Place,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PROMISE, until},
};

use super::{answers, with_script};

const SERVICE: u8 = 160;

/// Writes as much as there is room for.
fn fill(pipe: &mut File) -> anyhow::Result<()> {
    loop {
        match pipe.write(&[b'.'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() -> anyhow::Result<()> {
    with_script(r#"exec "$SVCLB" "$@" 2>"$FOLDER/log""#, |world, folder| {
        mkfifo(&folder.join("log"), Bits::S_IRWXU)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut pipe = options.open(folder.join("log"))?;
        fill(&mut pipe)?;
        world.publish(&Service::new("unread", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD2])?;
        world.publish(&Service::new("unread", SERVICE, &[POD3]))?;
        until("a change", PROMISE, || {
            let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
            Ok(world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?.pods.contains_key(POD3.name).then_some(()))
        })?;
        let refused = world.svclb(&["cleanup"])?;
        ensure!(refused.status.code() == Some(1), "the agent has ended: {refused:?}");
        ensure!(agent.terminate()?.success(), "it ends as it is asked to");
        // Even an agent that has nothing but an error to tell ends.
        let wrong = ["run", "--node-name", "n", "--manifests", "/nowhere"].map(String::from);
        let status = Agent::launch_with(world, &NODE1, wrong.into())?.wait()?;
        ensure!(status.code() == Some(2), "{status}");

        // Who comes to read finds the beginning of the log, behind what was there.
        let (mut bytes, mut text) = (vec![0; 65536], String::new());
        while let Ok(count) = pipe.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        ensure!(text.trim_start_matches('.').is_empty(), "the pipe had room: {text:?}");
        Ok(())
    })
}

/// Every disk is read-only, and no file can become longer.
const FULL: &str = r#"ulimit -f 0
exec unshare --mount --propagation private sh -c '
    while read -r _ at kind _; do
        case $kind in bpf|proc|sysfs|cgroup*|devpts|mqueue) ;; *) mount -o remount,bind,ro "$at" || exit 9 ;; esac
    done </proc/self/mounts
    ! touch "$FOLDER/there-is-room" 2>/dev/null || exit 10
    exec "$SVCLB" "$@"
' sh "$@""#;

#[test]
fn disks_that_are_full_or_read_only_are_not_noticed() -> anyhow::Result<()> {
    with_script(FULL, |world, _| {
        world.publish(&Service::new("unwritten", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD2])?;
        world.publish(&Service::new("unwritten", SERVICE, &[POD3]))?;
        until("a change", PROMISE, || {
            let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
            Ok(world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?.pods.contains_key(POD3.name).then_some(()))
        })?;
        let log = agent.log().text();
        ensure!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
        agent.kill()?;
        let next = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD3])?;
        ensure!(next.terminate()?.success());
        Ok(())
    })
}
