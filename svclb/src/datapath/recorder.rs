//! The flight recorder and the counters beside it, as any number of readers see them.

use std::{os::fd::AsFd as _, time::SystemTime};

use aya::maps::{IterableMap as _, Map, MapData, MapError, PerCpuArray};
use svclb_common::{
    event::{Log, LogKey},
    layout::{map, row_of},
    service::{BackendId, DeviceReason, Entrance, Load, Outcomes, ServiceId},
};

use super::{
    Error, clock,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, open_hash, read_error},
};
use crate::{
    model::Family,
    sys::hash::{self, Bucket},
};

/// Logs that are read by one call.
const STEP: usize = 64;

/// The flight recorder.
pub struct Recorder(Hash<LogKey, Log>);

impl Recorder {
    /// Opens the pinned map.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        open_hash(pins, map::RECORDER).map(Self)
    }

    /// All logs. Reading takes nothing away.
    pub fn logs(&self) -> Result<Vec<(LogKey, Log)>, Error> {
        let mut logs = Vec::new();
        let mut next: Option<Bucket> = None;
        loop {
            let batch = hash::batch(self.0.map().fd().as_fd(), next, STEP)
                .map_err(|error| Error::Map { map: map::RECORDER.into(), reason: error.to_string() })?;
            logs.extend(batch.entries);
            match batch.next {
                Some(bucket) => next = Some(bucket),
                None => return Ok(logs),
            }
        }
    }
}

/// When it was that the programs' clock showed `time`.
pub fn wall(time: u64) -> SystemTime {
    let ago = std::time::Duration::from_nanos(clock::now().saturating_sub(time));
    SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Drops by device and reason, of the devices that dropped something last.
pub fn device_drops(pins: &Pins) -> Result<Vec<(DeviceReason, u64)>, Error> {
    let table = open_hash::<DeviceReason, u64>(pins, map::DEVICE_DROPS)?;
    let mut drops = Vec::new();
    for item in &table {
        match item {
            Ok(drop) => drops.push(drop),
            // Another one's place by now.
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(read_error(map::DEVICE_DROPS.into(), &error)),
        }
    }
    drops.sort_unstable();
    Ok(drops)
}

/// The counters of backends and of what Services' flows came to.
pub struct Counters {
    loads: PerCpuArray<MapData, Load>,
    outcomes: aya::maps::Array<MapData, Outcomes>,
    entrances: aya::maps::Array<MapData, Entrance>,
}

impl Counters {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        fn open<M: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &str) -> Result<M, Error> {
            MapData::from_pin(pins.map(name))
                .and_then(Map::from_map_data)
                .and_then(M::try_from)
                .map_err(|error| Error::map(name, &error))
        }
        Ok(Self {
            loads: open(pins, map::LOADS)?,
            outcomes: open(pins, map::OUTCOMES)?,
            entrances: open(pins, map::ENTRANCES)?,
        })
    }

    /// Flows, packets and bytes of a backend cell, summed over all CPUs.
    pub fn load(&self, family: Family, backend: BackendId) -> Result<Load, Error> {
        let values =
            self.loads.get(&row(family, backend), 0).map_err(|error| Error::map(map::LOADS, &error))?;
        Ok(values.iter().fold(Load::default(), |sum, cpu| Load {
            flows: sum.flows + cpu.flows,
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
        }))
    }

    /// What became of the flows of a backend cell.
    pub fn outcomes(&self, family: Family, backend: BackendId) -> Result<Outcomes, Error> {
        self.outcomes.get(&row(family, backend), 0).map_err(|error| Error::map(map::OUTCOMES, &error))
    }

    /// New flows of a service cell by kind of frontend.
    pub fn entrance(&self, family: Family, service: ServiceId) -> Result<Entrance, Error> {
        self.entrances.get(&row(family, service), 0).map_err(|error| Error::map(map::ENTRANCES, &error))
    }
}

/// The row of a cell in maps of both families.
fn row(family: Family, cell: u32) -> u32 {
    use svclb_common::family::{Family as _, V4, V6};
    let af = if family == V4::MODEL { V4::AF } else { V6::AF };
    row_of(af, cell)
}
