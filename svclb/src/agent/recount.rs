//! Corrects from time to time how many flows backends are said to have.

use std::time::{Duration, Instant};

use tokio::{task::spawn_blocking, time::sleep};

use super::told::Told;
use crate::datapath::{active, pins::Pins};

/// The shortest time between two rounds.
const PAUSE: Duration = Duration::from_secs(10);
/// A round that takes long is followed by a pause of so many times that: it takes 2 % of one CPU at most.
const REST: u32 = 50;

/// Counts as long as the agent runs. A thread of its own does it, because large tables take a while to read; it writes
/// nothing but the counts, which the programs write as well.
pub(super) async fn keep(pins: Pins) {
    let mut failures = Told::default();
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        let (pins, since) = (pins.clone(), Instant::now());
        let Ok(counted) = spawn_blocking(move || active::recount(&pins)).await else { return };
        let failed = counted.err().map(|error| error.to_string());
        failures.now(failed, |line| tracing::warn!("flows of backends are not counted: {line}"));
        pause = PAUSE.max(since.elapsed() * REST);
    }
}
