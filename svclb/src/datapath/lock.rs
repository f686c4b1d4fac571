//! One agent per set of pins.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use tokio::time::sleep;

use super::{Error, pins::Pins};

/// How often, and after which pause, the lock is tried: whoever asks with [`is_held`]
/// has it for a moment.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// Held while the agent runs; the kernel releases it when the process ends, however it ends.
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Takes the lock, or says that another agent has it.
pub async fn take(pins: &Pins) -> Result<Lock, Error> {
    for _ in 1..TRIES {
        match try_take(pins) {
            Err(Error::Locked(_)) => sleep(PAUSE).await,
            result => return result,
        }
    }
    try_take(pins)
}

fn try_take(pins: &Pins) -> Result<Lock, Error> {
    let file = File::open(pins.root()).map_err(Error::file(pins.root()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => {
            // A cleanup that had the lock until now has removed the folder with it.
            let is_there = identity(lock.metadata()) == identity(fs::metadata(pins.root()));
            if is_there { Ok(Lock(lock)) } else { Err(Error::Locked(pins.root().into())) }
        }
        Err((_, Errno::EWOULDBLOCK)) => Err(Error::Locked(pins.root().into())),
        Err((_, errno)) => Err(Error::file(pins.root())(errno.into())),
    }
}

fn identity(folder: io::Result<Metadata>) -> Option<(u64, u64)> {
    folder.ok().map(|folder| (folder.dev(), folder.ino()))
}

/// Whether an agent runs.
pub fn is_held(pins: &Pins) -> bool {
    // Shared, so that two who ask do not take each other for an agent.
    File::open(pins.root()).is_ok_and(|file| {
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    })
}
