//! Telling the programs that the ways of packets have changed.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    datapath::{Error, pins::Pins, ways::WaysMap},
    netdev::Ways,
};

/// How long to wait before trying again what failed. The programs believe what they remember no longer than that.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the node's ways for as long as it is polled.
pub(super) async fn follow(pins: Pins) -> Result<(), Error> {
    let map = WaysMap::open(&pins)?;
    loop {
        match Ways::open() {
            Ok(mut ways) => {
                // What happened before.
                map.changed()?;
                while ways.changed().await.is_ok() {
                    map.changed()?;
                }
            }
            Err(error) => tracing::warn!("changes of routes are noticed late: {error}"),
        }
        sleep(RETRY).await;
    }
}
