//! The nodes' control groups.
//!
//! Socket hooks belong to a control group, not to a network namespace, so that
//! a node of this world is both.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use crate::cgroup::mount_point;

/// How long killed processes may take to be gone.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);

/// A control group of version 2.
#[derive(Clone, Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Creates a group directly below the mount.
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        let path = mount_point()?.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot create the cgroup {}", path.display()))?;
        Ok(Self(path))
    }

    /// The group of that name, if there is one.
    pub(super) fn find(name: &str) -> Option<Self> {
        let path = mount_point().ok()?.join(name);
        path.is_dir().then_some(Self(path))
    }

    /// Where its files are.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves this very process in until the guard is dropped: a socket belongs
    /// to the group its process is in when it is opened, and a child is born
    /// where its parent is.
    pub(super) fn stay(&self) -> anyhow::Result<Stay> {
        let home = current()?;
        self.enter()?;
        Ok(Stay { home })
    }

    fn enter(&self) -> anyhow::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process::id().to_string())
            .with_context(|| format!("cannot move to the cgroup {}", self.0.display()))
    }

    /// Ends whoever is inside and removes the group.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + EMPTY_TIMEOUT;
        loop {
            for pid in self.processes() {
                if let Err(errno) = kill(pid, Signal::SIGKILL) {
                    tracing::debug!(%pid, %errno, "ended by itself");
                }
            }
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // An empty group stays busy until the last process is reaped,
                // which for another's child nobody tells us.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    sleep(Duration::from_millis(10)).await;
                }
                other => {
                    return other.with_context(|| format!("cannot remove the cgroup {}", self.0.display()));
                }
            }
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let list = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        let pids = list.lines().filter_map(|pid| pid.parse().ok().map(Pid::from_raw));
        // A stay that could not end must not end in suicide.
        pids.filter(|pid| *pid != Pid::this()).collect()
    }
}

/// While it lives, this process is in another control group.
#[derive(Debug)]
pub(super) struct Stay {
    home: Cgroup,
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Err(error) = self.home.enter() {
            tracing::warn!(error = format!("{error:#}"), "staying in a foreign cgroup");
        }
    }
}

/// The group this process is in.
fn current() -> anyhow::Result<Cgroup> {
    let list = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let below =
        list.lines().find_map(|line| line.strip_prefix("0::/")).context("this process has no cgroup v2")?;
    Ok(Cgroup(mount_point()?.join(below)))
}
