//! Threads inside namespaces.
//!
//! A thread is the only thing that can be *in* a namespace. Each namespace has one for as
//! long as it lives: sockets opened and processes started there belong to it, and the
//! test's own thread stays where it was.

use std::{
    fs,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, anyhow};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Pid, gettid},
};

use super::wiring;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does what it is told, until it is dropped.
pub struct Namespace {
    name: String,
    tid: Pid,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// A thread with mounts of its own, among them a BPF file system at `bpffs`. It
    /// vanishes with all that is pinned in it when the last thread and process that
    /// came from here has ended, however that happens.
    pub fn with_mounts(bpffs: &Path) -> anyhow::Result<Self> {
        let mounts = Self::spawn("mounts")?;
        let folder = bpffs.to_owned();
        mounts
            .run(move || {
                unshare(CloneFlags::CLONE_NEWNS)?;
                mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
                mount(Some("bpffs"), &folder, Some("bpf"), MsFlags::empty(), None::<&str>)
            })?
            .context("cannot mount a private bpffs")?;
        Ok(mounts)
    }

    /// A network namespace that sees the mounts of `mounts`.
    pub fn create(mounts: &Self, name: &'static str) -> anyhow::Result<Self> {
        let namespace = mounts.run(move || Self::spawn(name))??;
        namespace
            .run(|| unshare(CloneFlags::CLONE_NEWNET))?
            .with_context(|| format!("cannot create the network namespace {name}"))?;
        Ok(namespace)
    }

    /// A thread that is where the test is.
    pub fn here(name: &str) -> anyhow::Result<Self> {
        Self::spawn(name)
    }

    /// A network namespace that sees the test's mounts, with nothing in it but loopback.
    pub fn apart(name: &str) -> anyhow::Result<Self> {
        let namespace = Self::spawn(name)?;
        namespace
            .run(|| unshare(CloneFlags::CLONE_NEWNET))?
            .with_context(|| format!("cannot create the network namespace {name}"))?;
        wiring::ip(&namespace, "link set lo up\n")?;
        Ok(namespace)
    }

    fn spawn(name: &str) -> anyhow::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, tid) = mpsc::channel();
        let body = move || {
            if ready.send(gettid()).is_ok() {
                for job in inbox {
                    job();
                }
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body)?;
        let tid = tid.recv().context("a thread ended at once")?;
        Ok(Self { name: name.into(), tid, jobs: Some(jobs), thread: Some(thread) })
    }

    /// What it was called when it was created.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The thread, by which devices can be moved here.
    pub fn tid(&self) -> Pid {
        self.tid
    }

    /// Runs something inside. What it opens or starts stays inside.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        let (done, outcome) = mpsc::channel();
        let job = Box::new(move || {
            // Nobody waits any more only if the test has failed meanwhile.
            done.send(job()).ok();
        });
        let ended = || anyhow!("the thread of {} has ended", self.name);
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(ended)?;
        outcome.recv().map_err(|_ended| ended())
    }

    /// Writes `/proc/sys/net` settings; it shows each thread its own namespace.
    pub fn sysctl(&self, settings: &'static [(&str, &str)]) -> anyhow::Result<()> {
        self.run(move || {
            settings.iter().try_for_each(|(key, value)| {
                fs::write(Path::new("/proc/sys/net").join(key), value)
                    .with_context(|| format!("cannot set {key}"))
            })
        })?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has panicked only if a job has, and then the test has failed already.
            thread.join().ok();
        }
    }
}
