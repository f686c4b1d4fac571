//! One agent per set of pins.

use std::fs::File;

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{Error, pins::Pins};

/// Held while the agent runs; the kernel releases it when the process ends, however it ends.
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Takes the lock, or says that another agent has it.
pub fn take(pins: &Pins) -> Result<Lock, Error> {
    let file = File::open(pins.root()).map_err(Error::file(pins.root()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Lock(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Err(Error::Locked(pins.root().into())),
        Err((_, errno)) => Err(Error::file(pins.root())(errno.into())),
    }
}

/// Whether an agent runs.
pub fn is_held(pins: &Pins) -> bool {
    matches!(take(pins), Err(Error::Locked(_)))
}
