//! What happens now: a reading, and how it differs from the one before.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Counters, Drop, Rate, Reading, ServicePort};

/// What the tables hold, and how fast it changes.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// When it was read.
    #[serde(skip)]
    pub at: Instant,
    /// Seconds between the two readings; none if there is only one.
    pub interval_seconds: Option<f64>,
    /// Whether an agent runs and says that the tables hold what was asked for.
    pub synced: bool,
    /// Process of the agent, while one runs.
    pub agent: Option<u32>,
    /// Packets and calls that were not simply translated, by reason.
    pub drops: Vec<Drop>,
    /// Every service port.
    pub services: Vec<ServicePort>,
}

impl Snapshot {
    /// A reading, with rates if something was read before.
    pub fn between(before: Option<&Counters>, reading: Reading) -> Self {
        let Reading { at, synced, agent, mut ports, mut drops } = reading;
        let before = before.filter(|before| before.at < at);
        let interval = before.map(|before| at - before.at);
        if let (Some(before), Some(interval)) = (before, interval) {
            for port in &mut ports {
                rate(port, before, interval);
            }
            for drop in &mut drops {
                let earlier = before.drops.get(drop.reason).copied().unwrap_or_default();
                drop.per_second = Some(per_second(earlier, drop.count, interval));
            }
        }
        let interval_seconds = interval.map(|interval| interval.as_secs_f64());
        Self { at, interval_seconds, synced, agent, drops, services: ports }
    }

    /// How fast all of it goes together.
    pub fn total(&self) -> Rate {
        let rates = self.services.iter().filter_map(|port| port.per_second);
        rates.fold(Rate::default(), |sum, rate| Rate {
            flows: sum.flows + rate.flows,
            packets: sum.packets + rate.packets,
            bytes: sum.bytes + rate.bytes,
        })
    }
}

/// Of what was not there before, nobody knows what is new: its cell may have been another's.
fn rate(port: &mut ServicePort, before: &Counters, interval: Duration) {
    let earlier = before.ports.get(&port.key).copied().unwrap_or(port.traffic);
    port.per_second = Some(Rate {
        flows: per_second(earlier.flows, port.traffic.flows, interval),
        packets: per_second(earlier.packets, port.traffic.packets, interval),
        bytes: per_second(earlier.bytes, port.traffic.bytes, interval),
    });
    for backend in &mut port.backends {
        let flows = backend.traffic.flows;
        let earlier = before.backends.get(&(port.key.family, backend.id)).copied().unwrap_or(flows);
        backend.flows_per_second = Some(per_second(earlier, flows, interval));
    }
}

/// A counter that is less than before has begun anew.
#[expect(clippy::cast_precision_loss, reason = "a rate is read by people")]
fn per_second(before: u64, now: u64, interval: Duration) -> f64 {
    let more = if now < before { now } else { now - before };
    more as f64 / interval.as_secs_f64()
}
