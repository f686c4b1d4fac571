//! What the tables hold at one time.

use std::time::Instant;

use serde::Serialize;

use super::{BackendTraffic, PortTraffic, ServicePort};
use crate::{
    datapath::{
        Error,
        counters::{self, TrafficMap},
        lock,
        pins::Pins,
        readback,
        recorder::Counters,
        tables::Tables,
    },
    model::{Family, self_probe::is_own},
    plan::{Limits, Readback},
    sys::mapped::Access,
};

/// What the tables hold at one time.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Whether an agent runs and says that the tables hold what was asked for.
    pub synced: bool,
    /// Process of the agent, while one runs.
    pub agent: Option<u32>,
    /// Every service port, by namespace, name, port, protocol and family.
    pub ports: Vec<ServicePort>,
    /// Packets and calls that were not simply translated, by reason.
    pub drops: Vec<Drop>,
}

/// A reason for which packets and calls are dropped or refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drop {
    /// Its name.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// How often in a second; only where there are two readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

impl Reading {
    /// Reads the pins.
    pub fn of(pins: &Pins) -> Result<Self, Error> {
        pins.require()?;
        let tables = Tables::open(pins, Access::Read)?;
        let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
        let (v4, v6) = (TrafficMap::open(pins, Family::V4)?, TrafficMap::open(pins, Family::V6)?);
        let counters = Counters::open(pins)?;
        let at = Instant::now();
        let mut ports = Vec::new();
        for (key, id) in applied.services().filter(|(key, _)| !is_own(key)) {
            let traffic = match key.family {
                Family::V4 => &v4,
                Family::V6 => &v6,
            };
            let traffic = PortTraffic::from(traffic.of(id)?);
            let of_backend = |cell| {
                let (load, outcomes) =
                    (counters.load(key.family, cell)?, counters.outcomes(key.family, cell)?);
                Ok(BackendTraffic::new(&load, &outcomes))
            };
            ports.push(ServicePort::of(&applied, key, id, traffic, of_backend)?);
        }
        let drops = counters::drops(pins)?.into_iter();
        let is_running = lock::is_held(pins);
        let state = tables.state()?;
        Ok(Self {
            at,
            synced: is_running && state.synced.load() == 1,
            agent: is_running.then(|| state.pid.load()),
            ports,
            drops: drops.map(|(reason, count)| Drop { reason, count, per_second: None }).collect(),
        })
    }
}
