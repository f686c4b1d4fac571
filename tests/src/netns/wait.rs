//! Waiting for what comes soon.

use std::{
    env,
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::poll::{PollTimeout, poll};

/// How long anything may take that has no promise of its own.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the agent may take for a change.
pub const PROMISE: Duration = Duration::from_secs(1);

/// Says by which factor this machine is slower than one that keeps the promises, as one that is interpreted is.
const FACTOR: &str = "SVCLB_TEST_PATIENCE";

/// So long on this machine.
pub fn here(patience: Duration) -> Duration {
    static HERE: LazyLock<u32> =
        LazyLock::new(|| env::var(FACTOR).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1));
    patience * *HERE
}

/// Between two looks at something that announces nothing.
const PAUSE: u16 = 5;

/// Looks until `look` finds something, and gives that back with the time it took.
///
/// The pause between two looks is an empty `poll(2)`: the kernel has no event for
/// what a map or another process's view of the network holds.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Duration)> {
    let (start, patience) = (Instant::now(), here(patience));
    loop {
        let asked = start.elapsed();
        if let Some(found) = look()? {
            return Ok((found, asked));
        }
        if start.elapsed() > patience {
            bail!("{what}: not within {patience:?}");
        }
        poll(&mut [], PollTimeout::from(PAUSE))?;
    }
}
