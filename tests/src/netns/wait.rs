//! Waiting for what comes soon.

use std::time::{Duration, Instant};

use anyhow::bail;
use nix::poll::{PollTimeout, poll};

/// How long anything may take that has no promise of its own.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the agent may take for a change.
pub const PROMISE: Duration = Duration::from_secs(1);

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
    let start = Instant::now();
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
