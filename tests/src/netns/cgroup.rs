//! The control groups of a world: one for all its processes, one in it for each node.
//!
//! Socket hooks belong to a control group, not to a network namespace, so that a node
//! is both.

use std::{
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::leftover::{is_abandoned, prefix};

/// How long killed processes may take to be gone.
const EMPTY: u16 = 5_000;

/// The group of a world, removed with all its processes when it is dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Creates the group of a world, with `children` in it. Groups that killed runs left
    /// behind are removed before.
    pub fn create(mount: &Path, children: &[&str]) -> anyhow::Result<Self> {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        remove_leftovers(mount)?;
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let group = Self(mount.join(format!("{}{number}", prefix())));
        fs::create_dir(&group.0)
            .with_context(|| format!("cannot create the cgroup {}", group.0.display()))?;
        for child in children {
            fs::create_dir(group.0.join(child))
                .with_context(|| format!("cannot create the cgroup {child}"))?;
        }
        Ok(group)
    }

    /// The folder of the group in it that is called `child`.
    pub fn child(&self, child: &str) -> PathBuf {
        self.0.join(child)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            eprintln!("cannot remove the cgroup {}: {error:#}", self.0.display());
        }
    }
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or below it on hosts that keep version 1 too.
pub fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

fn remove_leftovers(mount: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(mount)? {
        let name = entry?.file_name();
        if is_abandoned(&name) {
            // Another test of this run may be doing the same.
            remove(&mount.join(&name)).ok();
        }
    }
    Ok(())
}

/// Ends whoever is inside and removes the group with those in it.
fn remove(group: &Path) -> anyhow::Result<()> {
    fs::write(group.join("cgroup.kill"), "1").context("cgroup.kill")?;
    // The kernel announces a change of this file as an exception.
    let events = fs::File::open(group.join("cgroup.events"))?;
    while fs::read_to_string(group.join("cgroup.events"))?.contains("populated 1") {
        let changed = poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], PollTimeout::from(EMPTY))?;
        anyhow::ensure!(changed > 0, "killed processes do not end");
    }
    Ok(remove_tree(group)?)
}

/// Removes an empty group with those in it; the files of a group go with it.
fn remove_tree(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
