//! What was counted at one time: all that is kept of a reading to tell rates by the next one.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use svclb_common::service::BackendId;

use super::{PortTraffic, Reading};
use crate::model::{Family, ServicePortKey};

/// What was counted at one time.
#[derive(Clone, Debug)]
pub struct Counters {
    pub(super) at: Instant,
    pub(super) ports: BTreeMap<ServicePortKey, PortTraffic>,
    /// Flows, by the backend's cell.
    pub(super) backends: HashMap<(Family, BackendId), u64>,
    pub(super) drops: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Those of a reading.
    pub fn of(reading: &Reading) -> Self {
        let backends = reading.ports.iter().flat_map(|port| {
            port.backends.iter().map(|backend| ((port.key.family, backend.id), backend.traffic.flows))
        });
        Self {
            at: reading.at,
            ports: reading.ports.iter().map(|port| (port.key.clone(), port.traffic)).collect(),
            backends: backends.collect(),
            drops: reading.drops.iter().map(|drop| (drop.reason, drop.count)).collect(),
        }
    }

    /// When they were read.
    pub fn at(&self) -> Instant {
        self.at
    }
}
