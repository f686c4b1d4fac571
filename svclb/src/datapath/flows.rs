//! The flows that the programs keep, as a reader sees them.

use std::net::{IpAddr, SocketAddr};

use aya::maps::MapError;
use nix::time::{ClockId, clock_gettime};
use svclb_common::{
    FlowRecord,
    family::{V4, V6},
    flow::{Direction, FIN, RST},
    key::FlowKey,
    layout::map,
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{open_hash, read_error},
};
use crate::model::Family;

/// A flow: its entry from the client to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The service cell's family.
    pub family: Family,
    /// The service cell.
    pub service: u32,
    /// IANA protocol number.
    pub protocol: u8,
    /// Who sends.
    pub client: SocketAddr,
    /// What the client names.
    pub frontend: SocketAddr,
    /// Whom the backend sees.
    pub source: SocketAddr,
    /// Who serves.
    pub backend: SocketAddr,
    /// Whether it is among the established flows: both ends have spoken, and not ended.
    pub established: bool,
    /// Whether the client has ended its side.
    pub closing: bool,
    /// Seconds since the client's last packet, to within two.
    pub idle_seconds: u64,
}

/// All flows of both families.
pub fn read(pins: &Pins) -> Result<Vec<Flow>, Error> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |now| std::time::Duration::from(now).as_secs());
    let mut flows = Vec::new();
    each::<V4>(pins, |key, record, established| flows.push(flow::<V4>(key, record, established, now)))?;
    each::<V6>(pins, |key, record, established| flows.push(flow::<V6>(key, record, established, now)))?;
    flows.sort_by_key(|flow| (flow.frontend, flow.client));
    Ok(flows)
}

/// How many flows there are.
pub fn count(pins: &Pins) -> Result<usize, Error> {
    Family::ALL.into_iter().map(|family| count_of(pins, family)).sum()
}

/// How many flows of a family there are.
pub fn count_of(pins: &Pins, family: Family) -> Result<usize, Error> {
    let mut count = 0;
    match family {
        Family::V4 => each::<V4>(pins, |_, _, _| count += 1),
        Family::V6 => each::<V6>(pins, |_, _, _| count += 1),
    }?;
    Ok(count)
}

/// Calls `found` for each flow of a family, with whether it is established.
fn each<F: MapFamily>(
    pins: &Pins,
    mut found: impl FnMut(FlowKey<F::Addr>, FlowRecord<F::Addr>, bool),
) -> Result<(), Error> {
    for (name, established) in [(F::map(map::FLOWS), true), (F::map(map::HALF_OPEN), false)] {
        let entries = open_hash::<FlowKey<F::Addr>, FlowRecord<F::Addr>>(pins, &name)?;
        for item in &entries {
            match item {
                Ok((key, record)) if record.recipe.direction == Direction::Original as u8 => {
                    found(key, record, established);
                }
                // The other direction, or evicted between its key and its value.
                Ok(_) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(read_error(name, &error)),
            }
        }
    }
    Ok(())
}

fn flow<F: MapFamily>(
    key: FlowKey<F::Addr>,
    record: FlowRecord<F::Addr>,
    established: bool,
    now: u64,
) -> Flow {
    let end = |addr: F::Addr, port: u16| SocketAddr::new(Into::<IpAddr>::into(addr), u16::from_be(port));
    let recipe = record.recipe;
    Flow {
        family: F::MODEL,
        service: recipe.service,
        protocol: key.proto,
        client: end(key.src, key.sport),
        frontend: end(key.dst, key.dport),
        // Inside another packet nothing changes.
        source: if recipe.is_one_way() { end(key.src, key.sport) } else { end(recipe.src, recipe.sport) },
        backend: end(recipe.dst, recipe.dport),
        established,
        closing: record.state & (FIN | RST) != 0,
        idle_seconds: now.saturating_sub(record.seen / 1_000_000_000),
    }
}
