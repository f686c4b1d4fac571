//! A named network namespace with a thread inside it.
//!
//! A thread is the only thing that can be *in* a namespace. Each namespace has
//! one for as long as it lives: sockets opened and processes started there
//! belong to it, and the rest of the program never changes its own namespace.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use tokio::{runtime, sync::oneshot};

use super::netlink::Netlink;

/// Where `ip netns` and the readers of this world look for namespaces.
const DIRECTORY: &str = "/run/netns";

/// Why a namespace is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Creating it failed.
    #[error("cannot create the network namespace {name}")]
    Create {
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Its thread has ended.
    #[error("the thread of the network namespace {0} has ended")]
    Ended(String),
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace.
pub(super) struct Namespace {
    name: String,
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
    /// What configures the devices in it.
    pub(super) netlink: Netlink,
}

impl Namespace {
    /// Creates a namespace and gives it its name.
    pub(super) async fn create(name: String) -> Result<Self, Error> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, outcome) = oneshot::channel();
        let (runtime, path) = (runtime::Handle::current(), path(&name));
        let body = move || {
            let opened = enter_new(&path).and_then(|()| {
                let _context = runtime.enter();
                rtnetlink::new_connection()
            });
            let failed = opened.is_err();
            if ready.send(opened).is_ok() && !failed {
                for job in inbox {
                    job();
                }
            }
        };
        let create = |source| Error::Create { name: name.clone(), source };
        let thread = thread::Builder::new().name(name.clone()).spawn(body).map_err(create)?;
        let opened = outcome.await.map_err(|_ended| Error::Ended(name.clone()))?;
        let (connection, handle, _) = opened.map_err(create)?;
        tokio::spawn(connection);
        Ok(Self { name, jobs, thread, netlink: Netlink::new(handle) })
    }

    /// The name under `/run/netns`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A handle by which devices can be moved here.
    pub(super) fn file(&self) -> io::Result<File> {
        File::open(path(&self.name))
    }

    /// Runs something inside. What it opens or starts stays inside.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (done, outcome) = oneshot::channel();
        let ended = || Error::Ended(self.name.clone());
        let job = Box::new(move || {
            // Nobody waits any more when the world is being removed.
            drop(done.send(job()));
        });
        self.jobs.send(job).map_err(|_ended| ended())?;
        outcome.await.map_err(|_ended| ended())
    }

    /// Ends the thread and takes the name away. The namespace lives on while
    /// somebody else's process is in it.
    pub(super) fn close(self) -> io::Result<()> {
        drop(self.jobs);
        // A job that panicked was reported to the one who waited for it.
        drop(self.thread.join());
        remove(&self.name)
    }
}

/// Takes a namespace's name away, also one that a crash left half made.
pub(super) fn remove(name: &str) -> io::Result<()> {
    let path = path(name);
    // Once per mount: one may lie over another where `/run/netns` was mounted
    // onto itself in between.
    loop {
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a namespace can be entered by `nsenter --net=`.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Moves the calling thread to a new namespace and keeps that by a bind mount.
fn enter_new(path: &Path) -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    File::create_new(path)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let here = Path::new("/proc/thread-self/ns/net");
    mount(Some(here), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}
