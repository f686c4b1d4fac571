//! What the programs count.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use svclb_common::{
    layout::map,
    service::{ServiceId, Traffic},
    verdict::DropReason,
};

use super::{Error, family::map_of, pins::Pins};
use crate::model::Family;

/// Packets and calls by reason, summed over all CPUs.
pub fn drops(pins: &Pins) -> Result<BTreeMap<&'static str, u64>, Error> {
    let counters = open_drops(pins)?;
    let sum = |reason: &DropReason| {
        let values = counters.get(&(*reason as u32), 0).map_err(|error| Error::map(map::DROPS, &error))?;
        Ok((reason.as_str(), values.iter().sum()))
    };
    // Those of an older layout are the first ones.
    DropReason::ALL.iter().filter(|reason| (**reason as u32) < counters.len()).map(sum).collect()
}

fn open_drops(pins: &Pins) -> Result<PerCpuArray<MapData, u64>, Error> {
    MapData::from_pin(pins.map(map::DROPS))
        .and_then(Map::from_map_data)
        .and_then(PerCpuArray::try_from)
        .map_err(|error| Error::map(map::DROPS, &error))
}

/// Begins with what an older agent's programs have counted, whose reasons were the first of these, before the programs
/// over `own` count.
pub(super) fn take_over_drops(older: &Pins, own: &Pins) -> Result<(), Error> {
    let failed = |error: MapError| Error::map(map::DROPS, &error);
    let (older, mut own) = (open_drops(older)?, open_drops(own)?);
    for reason in 0..older.len().min(own.len()) {
        own.set(reason, older.get(&reason, 0).map_err(failed)?, 0).map_err(failed)?;
    }
    Ok(())
}

/// The counters of Services, of one family.
pub struct TrafficMap {
    name: String,
    counters: PerCpuArray<MapData, Traffic>,
}

impl TrafficMap {
    /// Opens the pinned map.
    pub fn open(pins: &Pins, family: Family) -> Result<Self, Error> {
        let name = map_of(family, map::TRAFFIC);
        let data = MapData::from_pin(pins.map(&name)).map_err(|error| Error::map(&name, &error))?;
        let counters = Map::from_map_data(data)
            .and_then(PerCpuArray::try_from)
            .map_err(|error| Error::map(&name, &error))?;
        Ok(Self { name, counters })
    }

    /// What has gone through a service cell, summed over all CPUs.
    pub fn of(&self, service: ServiceId) -> Result<Traffic, Error> {
        let values = self.counters.get(&service, 0).map_err(|error| Error::map(&self.name, &error))?;
        let sum = |a: Traffic, b: &Traffic| Traffic {
            flows: a.flows + b.flows,
            packets: a.packets + b.packets,
            bytes: a.bytes + b.bytes,
        };
        Ok(values.iter().fold(Traffic::default(), sum))
    }
}
