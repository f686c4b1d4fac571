//! svclb's own metrics.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    Collect, Sample, backends, condition,
    series::{OTHERS, Series, Told},
};
use crate::{config::ServiceSeries, log, model::ServicePortKey, usage::PortTraffic};

/// What is read when somebody asks.
pub(super) struct Own {
    collect: Arc<OnceLock<Box<dyn Collect>>>,
    series: Mutex<Series>,
}

impl Own {
    pub(super) fn register(
        registry: &mut Registry,
        collect: &Arc<OnceLock<Box<dyn Collect>>>,
        which: ServiceSeries,
    ) {
        let series = Mutex::new(Series::new(which));
        registry.register_collector(Box::new(Self { collect: Arc::clone(collect), series }));
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
        out.counter("log_lines_lost", help, log::lost())?;
        condition::encode(&mut out)?;
        let Some(collect) = self.collect.get() else { return Ok(()) };
        let sample = collect.collect().inspect_err(|error| tracing::warn!("metrics without tables: {error}"));
        let help = "Whether the kernel's tables could be read for this answer.";
        out.gauge("tables_readable", help, u64::from(sample.is_ok()))?;
        let Ok(mut sample) = sample else { return Ok(()) };
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let told = series.tell(std::mem::take(&mut sample.traffic));
        let most = series.most();
        drop(series);
        encode(&mut out, &sample)?;
        encode_traffic(&mut out, &told)?;
        let culprits = match most {
            Some(most) => sample.culprits.bounded(&told.own, most),
            None => sample.culprits,
        };
        backends::encode(&mut out, &culprits)
    }
}

fn encode(out: &mut Families<'_, '_>, sample: &Sample) -> fmt::Result {
    let drops = sample.drops.iter().map(|(reason, count)| ([("reason", *reason)], *count));
    out.counters("drops", "Packets and calls that were dropped or refused.", drops)?;

    out.gauge("synced", "Whether the tables hold what was asked for.", u64::from(sample.synced))?;
    out.counter("table_writes", "Writes to tables since the agent started.", sample.writes)?;
    let attached = sample.attached.iter().map(|(hook, count)| ([("hook", hook.as_str())], *count));
    out.gauges("attached_programs", "Programs that are attached, by hook.", attached)?;

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
    out.gauges("map_capacity", "Entries that a table has room for.", map(|map| map.capacity))
}

fn encode_traffic(out: &mut Families<'_, '_>, told: &Told) -> fmt::Result {
    let help = "Service ports without series of their own, which are one series together.";
    out.gauge("service_series_left_out", help, told.left_out)?;
    let traffic = |of: fn(&PortTraffic) -> u64| {
        let own = told.own.iter().map(move |(key, traffic)| (labels(key), of(traffic)));
        own.chain(told.others.iter().map(move |others| (OTHER_LABELS, of(others))))
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
    )
}

/// Of the series that all others are together.
const OTHER_LABELS: [(&str, &str); 5] =
    [("namespace", ""), ("service", OTHERS), ("port", ""), ("protocol", ""), ("ip_family", "")];

fn labels(key: &ServicePortKey) -> [(&str, &str); 5] {
    [
        ("namespace", key.namespace.as_ref()),
        ("service", key.name.as_ref()),
        ("port", key.port_name.as_ref()),
        ("protocol", key.protocol.as_str()),
        ("ip_family", key.family.as_str()),
    ]
}

/// Where metrics go, one name at a time.
pub(super) struct Families<'a, 'e>(pub(super) &'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    /// Without labels; the name is without the suffix `_total`.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    /// Without labels.
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

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

    pub(super) fn gauges<L: EncodeLabelSet>(
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
