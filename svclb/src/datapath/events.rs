//! The events ring: refusals, drops and the like as they happen.

use std::net::IpAddr;

use aya::maps::{Map, MapData, RingBuf};
use svclb_common::{event::Event, layout::map, sign::Cause};
use tokio::task::yield_now;

use super::{Error, pins::Pins};
use crate::sys::ready;

/// Records that are read before others get a turn.
const TURN: usize = 256;

/// Reads events until the returned future is dropped, and logs each at level debug.
pub async fn log(pins: &Pins) -> Result<(), Error> {
    let failed = |reason: &dyn std::error::Error| Error::map(map::EVENTS, reason);
    let data = MapData::from_pin(pins.map(map::EVENTS)).map_err(|error| failed(&error))?;
    let ring = Map::from_map_data(data).and_then(RingBuf::try_from).map_err(|error| failed(&error))?;
    let mut ring = ready::ring(ring).map_err(|error| failed(&error))?;
    loop {
        let mut ready = ring.readable_mut().await.map_err(|error| failed(&error))?;
        let mut turn = 0;
        while turn < TURN
            && let Some(record) = ready.get_inner_mut().next()
        {
            turn += 1;
            if let Ok(event) = bytemuck::try_pod_read_unaligned::<Event>(&record) {
                let reason = Cause::of(event.reason).map_or("unknown", Cause::as_str);
                tracing::debug!(
                    target: "svclb::events",
                    reason,
                    from = %address(event.family, event.src), from_port = u16::from_be(event.sport),
                    to = %address(event.family, event.dst), to_port = u16::from_be(event.dport),
                    protocol = event.proto, ifindex = event.ifindex,
                );
            }
        }
        if turn < TURN {
            ready.clear_ready();
        }
        drop(ready);
        // A flood of refusals must not keep the agent from its work.
        yield_now().await;
    }
}

fn address(family: u8, bytes: [u8; 16]) -> IpAddr {
    const AF_INET: u8 = 2;
    match bytes {
        [a, b, c, d, ..] if family == AF_INET => [a, b, c, d].into(),
        _ => bytes.into(),
    }
}
