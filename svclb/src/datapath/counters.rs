//! What the programs count.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, PerCpuArray};
use svclb_common::{
    FlowRecord,
    family::{V4, V6},
    flow::Direction,
    key::FlowKey,
    layout::map,
    verdict::DropReason,
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{open_hash, read_error},
};

/// Packets and calls by reason, summed over all CPUs.
pub fn drops(pins: &Pins) -> Result<BTreeMap<&'static str, u64>, Error> {
    let failed = |error: &dyn std::error::Error| Error::map(map::DROPS, error);
    let data = MapData::from_pin(pins.map(map::DROPS)).map_err(|error| failed(&error))?;
    let counters: PerCpuArray<_, u64> =
        Map::from_map_data(data).and_then(PerCpuArray::try_from).map_err(|error| failed(&error))?;
    let sum = |reason: &DropReason| {
        let values = counters.get(&(*reason as u32), 0).map_err(|error| failed(&error))?;
        Ok((reason.as_str(), values.iter().sum()))
    };
    DropReason::ALL.iter().map(sum).collect()
}

/// Flows in both tables of both families; each has two entries and is counted once.
pub fn flows(pins: &Pins) -> Result<usize, Error> {
    Ok(count_flows::<V4>(pins)? + count_flows::<V6>(pins)?)
}

fn count_flows<F: MapFamily>(pins: &Pins) -> Result<usize, Error> {
    let mut count = 0;
    for name in [F::map(map::FLOWS), F::map(map::HALF_OPEN)] {
        let entries = open_hash::<FlowKey<F::Addr>, FlowRecord<F::Addr>>(pins, &name)?;
        for item in &entries {
            match item {
                Ok((_, record)) => count += usize::from(record.recipe.direction == Direction::Original as u8),
                // Evicted between its key and its value.
                Err(aya::maps::MapError::KeyNotFound) => {}
                Err(error) => return Err(read_error(name, &error)),
            }
        }
    }
    Ok(count)
}
