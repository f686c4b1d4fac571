//! What the metrics read from the kernel's tables when somebody asks.

use svclb_common::layout::{capacity, map};

use super::culprits;
use crate::{
    datapath::{
        Error,
        attach::attached,
        counters::{self, TrafficMap},
        family::map_of,
        flows::{self, Fill},
        pins::Pins,
        readback,
        tables::Tables,
    },
    metrics::{Collect, Counts, MapFill, Sample},
    model::{Family, self_probe::is_own},
    netdev::device_names,
    plan::{Applied, Limits, Readback},
    sys::mapped::Access,
    usage::PortTraffic,
};

/// Reads the pins, as every report does.
pub(super) struct Collector(pub(super) Pins);

impl Collect for Collector {
    fn collect(&self) -> Result<Sample, String> {
        self.sample().map_err(|error| error.to_string())
    }
}

impl Collector {
    fn sample(&self) -> Result<Sample, Error> {
        let Self(pins) = self;
        let tables = Tables::open(pins, Access::Read)?;
        let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
        let state = tables.state()?;
        let mut sample = Sample {
            drops: counters::drops(pins)?.into_iter().collect(),
            synced: state.synced.load() == 1,
            writes: state.writes.load(),
            ..Sample::default()
        };
        // It takes more privileges than the rest, which a metric is no reason to go without.
        for attached in attached(pins, &device_names()).unwrap_or_default() {
            *sample.attached.entry(attached.hook).or_default() += 1;
        }
        for family in Family::ALL {
            let (flows, tables) = flows::fill_of(pins, family)?;
            let counts = counts(&applied, family, flows as u64);
            sample.maps.extend(fills(family, counts));
            sample.maps.extend(tables.map(|Fill { map, entries, capacity }| MapFill {
                map,
                entries,
                capacity,
            }));
            sample.counts.push((family, counts));
            let traffic = TrafficMap::open(pins, family)?;
            for (key, id) in applied.services().filter(|(key, _)| key.family == family && !is_own(key)) {
                let sum = traffic.of(id)?;
                sample.traffic.push((key.clone(), PortTraffic::from(sum)));
            }
        }
        sample.culprits = culprits::read(pins, &applied)?;
        Ok(sample)
    }
}

fn counts(applied: &Applied, family: Family, flows: u64) -> Counts {
    let counts = applied.counts(family);
    Counts {
        services: counts.services as u64,
        frontends: counts.frontends as u64,
        backends: counts.backends as u64,
        flows,
    }
}

fn fills(family: Family, counts: Counts) -> [MapFill; 3] {
    let fill = |name: &str, entries: u64, capacity: usize| MapFill {
        map: map_of(family, name),
        entries,
        capacity: capacity as u64,
    };
    [
        fill(map::SERVICES, counts.services, capacity::SERVICES),
        fill(map::FRONTENDS, counts.frontends, capacity::FRONTENDS),
        fill(map::BACKENDS, counts.backends, capacity::BACKENDS),
    ]
}
