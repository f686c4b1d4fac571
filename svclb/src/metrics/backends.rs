//! Metrics of backends, frontends and devices: what an alert names the culprit by.
//!
//! There are series for backends of which most is to be told, and for what happened to them; what never happened has none, so
//! that there are few more of them than backends. Devices are as many as drop something, and no more than the kernel's table
//! holds; those beyond [`DEVICES`] are told together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use svclb_common::{
    service::{FrontendKind, Load, Outcomes},
    sign::Sign,
};

use super::own::Families;
use crate::{
    model::{Family, ServicePortKey},
    usage::PortTraffic,
};

/// Devices that have series of their own: those that drop most.
const DEVICES: usize = 64;

/// What was counted of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendCounts {
    /// Its family.
    pub family: Family,
    /// Its address and port.
    pub address: String,
    /// Its protocol.
    pub protocol: &'static str,
    /// Flows, packets and bytes.
    pub load: Load,
    /// What became of its flows.
    pub outcomes: Outcomes,
}

/// What is read of backends, frontends and devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Culprits {
    /// Each backend that is in the tables.
    pub backends: Vec<BackendCounts>,
    /// New flows by Service port and kind of frontend.
    pub entrances: Vec<(ServicePortKey, FrontendKind, u64)>,
    /// Drops by device and reason; a device without a name is gone.
    pub devices: Vec<(String, &'static str, u64)>,
    /// Events that were told of a Service port, by reason.
    pub events: Vec<(ServicePortKey, &'static str, u64)>,
}

/// Backends that have series, for each Service port that may have them. Those that got most flows, or have most signs of
/// trouble.
const BACKENDS: usize = 5;

impl Culprits {
    /// What is told where only these Service ports have series of their own, of at most so many.
    #[must_use]
    pub(super) fn bounded(mut self, own: &[(ServicePortKey, PortTraffic)], most: usize) -> Self {
        let own: BTreeSet<_> = own.iter().map(|(key, _)| key).collect();
        self.entrances.retain(|(key, ..)| own.contains(key));
        self.events.retain(|(key, ..)| own.contains(key));
        let trouble = |backend: &BackendCounts| backend.outcomes.signs.iter().sum::<u64>();
        self.backends.sort_by_cached_key(|backend| {
            std::cmp::Reverse((
                trouble(backend).saturating_mul(2).max(backend.load.flows),
                backend.address.clone(),
            ))
        });
        self.backends.truncate(most.saturating_mul(BACKENDS));
        self
    }
}

/// Devices that drop most by their names, all others as `others`.
fn few<'a>(devices: &'a [(String, &'static str, u64)]) -> BTreeMap<(&'a str, &'static str), u64> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (device, _, count) in devices {
        *sums.entry(device).or_default() += count;
    }
    let mut most: Vec<_> = sums.into_iter().collect();
    most.sort_by_key(|(device, sum)| (std::cmp::Reverse(*sum), *device));
    most.truncate(DEVICES);
    let mut few = BTreeMap::new();
    for (device, reason, count) in devices {
        let is_named = most.iter().any(|(named, _)| named == device);
        *few.entry((if is_named { device.as_str() } else { "others" }, *reason)).or_default() += count;
    }
    few
}

/// Writes all of them.
pub(super) fn encode(out: &mut Families<'_, '_>, culprits: &Culprits) -> fmt::Result {
    let labels = |backend: &BackendCounts| {
        [
            ("backend", backend.address.clone()),
            ("protocol", backend.protocol.to_owned()),
            ("ip_family", backend.family.as_str().to_owned()),
        ]
    };
    let loads = |of: fn(&Load) -> u64| {
        culprits.backends.iter().map(move |backend| (labels(backend), of(&backend.load)))
    };
    out.counters("backend_flows", "New flows to a backend.", loads(|load| load.flows))?;
    let help = "Translated packets of a backend's flows, both directions.";
    out.counters("backend_packets", help, loads(|load| load.packets))?;
    let help = "Translated bytes of a backend's flows from the IP header on, both directions.";
    out.counters("backend_bytes", help, loads(|load| load.bytes))?;

    let signs = culprits.backends.iter().flat_map(|backend| {
        Sign::ALL.iter().filter_map(move |sign| {
            let [address, protocol, family] = labels(backend);
            let count = backend.outcomes.of(*sign);
            (count != 0).then(|| ([address, protocol, family, ("sign", sign.as_str().to_owned())], count))
        })
    });
    let help =
        "Resets, SYNs that were repeated without an answer, ICMP errors and switches of a backend's flows.";
    out.counters("backend_signs", help, signs)?;

    let of_port = |key: &ServicePortKey, name: &'static str, value: &'static str| {
        [
            ("namespace", key.namespace.to_string()),
            ("service", key.name.to_string()),
            ("port", key.port_name.to_string()),
            ("protocol", key.protocol.as_str().to_owned()),
            ("ip_family", key.family.as_str().to_owned()),
            (name, value.to_owned()),
        ]
    };
    let entrances =
        culprits.entrances.iter().map(|(key, kind, count)| (of_port(key, "frontend", kind.as_str()), *count));
    out.counters("frontend_flows", "New flows of a Service port by the kind of its frontend.", entrances)?;
    let events = culprits.events.iter().map(|(key, reason, count)| (of_port(key, "reason", reason), *count));
    let help =
        "Drops, refusals, resets and the like of a Service port, while the flight recorder knows of them.";
    out.counters("service_events", help, events)?;

    let devices = few(&culprits.devices);
    let devices =
        devices.iter().map(|((device, reason), count)| ([("device", *device), ("reason", *reason)], *count));
    out.counters("device_drops", "Packets that were dropped or refused, by device.", devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_drop_most_have_names() {
        let devices: Vec<_> = (0..100_u64).map(|n| (format!("veth{n}"), "no_backend", n + 1)).collect();
        let few = few(&devices);
        assert_eq!(few.len(), DEVICES + 1);
        assert_eq!(few[&("veth99", "no_backend")], 100);
        assert_eq!(few[&("others", "no_backend")], (1..=36).sum::<u64>());
        assert_eq!(few.values().sum::<u64>(), (1..=100).sum::<u64>());
    }
}
