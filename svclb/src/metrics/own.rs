//! svclb's own metrics.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Collect, Sample, backends};
use crate::log;

/// What is read when somebody asks.
pub(super) struct Own {
    collect: Arc<OnceLock<Box<dyn Collect>>>,
}

impl Own {
    pub(super) fn register(registry: &mut Registry, collect: &Arc<OnceLock<Box<dyn Collect>>>) {
        registry.register_collector(Box::new(Self { collect: Arc::clone(collect) }));
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

impl Collector for Own {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(&mut encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauges("build_info", "Always 1; the version is the label.", [(version, 1)])?;
        let help = "Lines of the agent's log that were lost because nobody read it.";
        let lost = out.0.encode_descriptor("log_lines_lost", help, None, MetricType::Counter)?;
        ConstCounter::new(log::lost()).encode(lost)?;
        let Some(collect) = self.collect.get() else { return Ok(()) };
        let sample = collect.collect().inspect_err(|error| tracing::warn!("metrics without tables: {error}"));
        let help = "Whether the kernel's tables could be read for this answer.";
        let readable = out.0.encode_descriptor("tables_readable", help, None, MetricType::Gauge)?;
        ConstGauge::new(u64::from(sample.is_ok())).encode(readable)?;
        sample.map_or(Ok(()), |sample| encode(&mut out, &sample))
    }
}

fn encode(out: &mut Families<'_, '_>, sample: &Sample) -> fmt::Result {
    let drops = sample.drops.iter().map(|(reason, count)| ([("reason", *reason)], *count));
    out.counters("drops", "Packets and calls that were dropped or refused.", drops)?;

    let counts = |of: fn(&super::Counts) -> u64| {
        sample.counts.iter().map(move |(family, counts)| ([("ip_family", family.as_str())], of(counts)))
    };
    out.gauges("services", "Service ports in the tables.", counts(|counts| counts.services))?;
    out.gauges("frontends", "Addresses with ports in the tables.", counts(|counts| counts.frontends))?;
    out.gauges("backends", "Endpoints in the tables.", counts(|counts| counts.backends))?;
    out.gauges("flows", "Translated flows in the tables.", counts(|counts| counts.flows))?;

    let map = |of: fn(&super::MapFill) -> u64| {
        sample.maps.iter().map(move |map| ([("map", map.map.as_str())], of(map)))
    };
    out.gauges("map_entries", "Entries in a table.", map(|map| map.entries))?;
    out.gauges("map_capacity", "Entries that a table has room for.", map(|map| map.capacity))?;

    let traffic = |of: fn(&super::ServiceTraffic) -> u64| {
        sample.traffic.iter().map(move |(key, traffic)| {
            let labels = [
                ("namespace", key.namespace.as_ref()),
                ("service", key.name.as_ref()),
                ("port", key.port_name.as_ref()),
                ("protocol", key.protocol.as_str()),
                ("ip_family", key.family.as_str()),
            ];
            (labels, of(traffic))
        })
    };
    out.counters("service_flows", "New flows of a Service port.", traffic(|traffic| traffic.flows))?;
    out.counters(
        "service_packets",
        "Translated packets of a Service port, both directions.",
        traffic(|traffic| traffic.packets),
    )?;
    out.counters(
        "service_bytes",
        "Translated bytes of a Service port from the IP header on, both directions.",
        traffic(|traffic| traffic.bytes),
    )?;
    backends::encode(out, &sample.culprits)
}

/// Where metrics go, one name at a time.
pub(super) struct Families<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    /// The name is without the suffix `_total`.
    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }
}
