//! What was counted at one time: all that is kept of a reading to tell rates by the next one.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use svclb_common::service::BackendId;

use super::{Drop, PortTraffic, Reading, ServicePort, Snapshot};
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
        Self::new(reading.at, &reading.ports, &reading.drops)
    }

    /// Those of the later one of two readings.
    pub fn of_snapshot(snapshot: &Snapshot) -> Self {
        Self::new(snapshot.at, &snapshot.services, &snapshot.drops)
    }

    fn new(at: Instant, ports: &[ServicePort], drops: &[Drop]) -> Self {
        let backends = ports.iter().flat_map(|port| {
            port.backends.iter().map(|backend| ((port.key.family, backend.id), backend.traffic.flows))
        });
        Self {
            at,
            ports: ports.iter().map(|port| (port.key.clone(), port.traffic)).collect(),
            backends: backends.collect(),
            drops: drops.iter().map(|drop| (drop.reason, drop.count)).collect(),
        }
    }

    /// When they were read.
    pub fn at(&self) -> Instant {
        self.at
    }
}
