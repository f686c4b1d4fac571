//! What the metrics read of backends, frontends and devices.

use std::{collections::BTreeMap, net::SocketAddr};

use svclb_common::{
    service::{FrontendKind, Load, Outcomes},
    sign::Cause,
    verdict::DropReason,
};

use crate::{
    datapath::{
        Error,
        pins::Pins,
        recorder::{Counters, Recorder, device_drops},
    },
    metrics::{BackendCounts, Culprits},
    model::{Family, self_probe::is_own},
    netdev::device_names,
    plan::Applied,
};

/// `AF_INET`.
const AF_INET: u16 = 2;

/// Reads what was counted, by the names of what is in the tables.
pub(super) fn read(pins: &Pins, applied: &Applied) -> Result<Culprits, Error> {
    let counters = Counters::open(pins)?;
    let mut culprits = Culprits::default();
    for family in Family::ALL {
        // A datagram service has cells of its own: the sum is the backend's.
        let mut sums = BTreeMap::<_, (Load, Outcomes)>::new();
        for (id, backend) in applied.tables(family).backends() {
            let (load, outcomes) = (counters.load(family, id)?, counters.outcomes(family, id)?);
            if load.flows == 0 && outcomes == Outcomes::default() {
                continue;
            }
            let key = (SocketAddr::new(backend.key.address, backend.key.port), backend.key.protocol.as_str());
            let sum = sums.entry(key).or_default();
            sum.0.flows += load.flows;
            sum.0.packets += load.packets;
            sum.0.bytes += load.bytes;
            sum.1.signs.iter_mut().zip(outcomes.signs).for_each(|(sum, count)| *sum += count);
        }
        culprits.backends.extend(sums.into_iter().map(|((address, protocol), (load, outcomes))| {
            BackendCounts { family, address: address.to_string(), protocol, load, outcomes }
        }));
    }
    for (key, id) in applied.services().filter(|(key, _)| !is_own(key)) {
        let entrance = counters.entrance(key.family, id)?;
        let flows = FrontendKind::ALL.into_iter().map(|kind| (key.clone(), kind, entrance.of(kind)));
        culprits.entrances.extend(flows.filter(|(_, _, count)| *count != 0));
    }
    for (log_key, log) in Recorder::open(pins)?.logs()? {
        let family = if log_key.family == AF_INET { Family::V4 } else { Family::V6 };
        let key = applied.tables(family).service(log_key.service).and_then(|entry| entry.key.as_ref());
        if let (Some(key), Some(cause), true) = (key, log_key.cause(), log_key.service != 0) {
            culprits.events.push((key.clone(), Cause::as_str(cause), log.total));
        }
    }
    let names = device_names();
    for (drop, count) in device_drops(pins)? {
        let device = match drop.ifindex {
            0 => "socket".to_owned(),
            ifindex => names.get(&ifindex).cloned().unwrap_or_else(|| "gone".into()),
        };
        let reason = DropReason::of(drop.reason).map_or("unknown", DropReason::as_str);
        culprits.devices.push((device, reason, count));
    }
    Ok(culprits)
}
