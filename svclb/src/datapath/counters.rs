//! What the programs count.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, PerCpuArray};
use svclb_common::{layout::map, verdict::DropReason};

use super::{Error, pins::Pins};

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
