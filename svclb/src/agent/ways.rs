//! Telling the programs that the ways of packets have changed.

use std::{thread, time::Duration};

use tokio::{
    runtime,
    time::{sleep, timeout},
};

use super::RunError;
use crate::{
    datapath::{Error, pins::Pins, ways::WaysMap},
    netdev::Ways,
};

/// How long to wait before trying again what failed. The programs believe what they remember no longer than that.
const RETRY: Duration = Duration::from_secs(1);

/// How long after a change the programs ask once more: the kernel tells of a route that goes a moment before it is gone.
const SETTLED: Duration = Duration::from_millis(100);

/// How long to wait where nothing is expected.
const LONG: Duration = Duration::from_hours(1);

/// Follows the node's ways as long as the process lives. In a thread of its own: routes change when much else does, and
/// the programs are not to wait for a pass of the agent.
pub(super) fn start(pins: &Pins) -> Result<(), RunError> {
    let map = WaysMap::open(pins)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::other)?;
    let run = move || {
        if let Err(error) = runtime.block_on(follow(&map)) {
            tracing::warn!("changes of routes are noticed late: {error}");
        }
    };
    thread::Builder::new().name("ways".into()).spawn(run).map_err(RunError::other)?;
    Ok(())
}

async fn follow(map: &WaysMap) -> Result<(), Error> {
    loop {
        match Ways::open() {
            Ok(mut ways) => {
                // What happened before.
                map.changed()?;
                let mut is_settled = true;
                loop {
                    let patience = if is_settled { LONG } else { SETTLED };
                    is_settled = match timeout(patience, ways.changed()).await {
                        Ok(Ok(())) => false,
                        Ok(Err(_broken)) => break,
                        Err(_elapsed) if is_settled => continue,
                        Err(_elapsed) => true,
                    };
                    map.changed()?;
                }
            }
            Err(error) => tracing::warn!("changes of routes are noticed late: {error}"),
        }
        sleep(RETRY).await;
    }
}
