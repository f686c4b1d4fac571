//! kube-proxy's metrics, with its names, types, labels and buckets.

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family as Labelled,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets, linear_buckets},
    },
    registry::Registry,
};

use crate::model::{Family, NoLocal, PerFamily};

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Gauge<f64, AtomicU64>;

/// How much of the tables a pass looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// All.
    Full,
    /// What has changed.
    Partial,
}

/// What is asked for the agent's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`.
    Healthz,
    /// `/livez`.
    Livez,
}

#[derive(Debug)]
pub(super) struct KubeProxy {
    sync_duration: Labelled<Labels<1>, Histogram>,
    full_duration: Labelled<Labels<1>, Histogram>,
    partial_duration: Labelled<Labels<1>, Histogram>,
    programming_duration: Labelled<Labels<1>, Histogram>,
    last_sync: Labelled<Labels<1>, Seconds>,
    last_queued: Labelled<Labels<1>, Seconds>,
    endpoints_pending: Gauge,
    endpoints_total: Counter,
    services_pending: Gauge,
    services_total: Counter,
    no_local: Labelled<Labels<2>, Gauge>,
    healthz: Labelled<Labels<1>, Counter>,
    livez: Labelled<Labels<1>, Counter>,
}

impl KubeProxy {
    /// Into a registry whose names have the prefix already.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let sync: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let programming: fn() -> Histogram = || {
            let ranges = [(0.25, 0.25, 2), (1.0, 1.0, 59), (60.0, 5.0, 12), (120.0, 30.0, 7)];
            Histogram::new(ranges.into_iter().flat_map(|(start, width, n)| linear_buckets(start, width, n)))
        };
        let metrics = Self {
            sync_duration: Labelled::new_with_constructor(sync),
            full_duration: Labelled::new_with_constructor(sync),
            partial_duration: Labelled::new_with_constructor(sync),
            programming_duration: Labelled::new_with_constructor(programming),
            last_sync: Labelled::default(),
            last_queued: Labelled::default(),
            endpoints_pending: Gauge::default(),
            endpoints_total: Counter::default(),
            services_pending: Gauge::default(),
            services_total: Counter::default(),
            no_local: Labelled::default(),
            healthz: Labelled::default(),
            livez: Labelled::default(),
        };
        registry.register(
            "sync_proxy_rules_duration_seconds",
            "How long passes over the tables took",
            metrics.sync_duration.clone(),
        );
        registry.register(
            "sync_full_proxy_rules_duration_seconds",
            "How long passes over all of the tables took",
            metrics.full_duration.clone(),
        );
        registry.register(
            "sync_partial_proxy_rules_duration_seconds",
            "How long passes over what had changed took",
            metrics.partial_duration.clone(),
        );
        registry.register(
            "network_programming_duration_seconds",
            "From the cause of a change of endpoints until it was in the tables",
            metrics.programming_duration.clone(),
        );
        registry.register(
            "sync_proxy_rules_last_timestamp_seconds",
            "When everything that was wanted was in the tables last",
            metrics.last_sync.clone(),
        );
        registry.register(
            "sync_proxy_rules_last_queued_timestamp_seconds",
            "When a pass over the tables was asked for last",
            metrics.last_queued.clone(),
        );
        // Names of counters are without their suffix, which the encoder puts there.
        registry.register(
            "sync_proxy_rules_endpoint_changes_pending",
            "Changes of endpoints that wait for a pass",
            metrics.endpoints_pending.clone(),
        );
        registry.register(
            "sync_proxy_rules_endpoint_changes",
            "Changes of endpoints",
            metrics.endpoints_total.clone(),
        );
        registry.register(
            "sync_proxy_rules_service_changes_pending",
            "Changes of Services that wait for a pass",
            metrics.services_pending.clone(),
        );
        registry.register(
            "sync_proxy_rules_service_changes",
            "Changes of Services",
            metrics.services_total.clone(),
        );
        registry.register(
            "sync_proxy_rules_no_local_endpoints_total",
            "Service ports whose traffic policy is Local and that have no endpoint on this node",
            metrics.no_local.clone(),
        );
        registry.register("proxy_healthz", "Answers at /healthz", metrics.healthz.clone());
        registry.register("proxy_livez", "Answers at /livez", metrics.livez.clone());
        metrics
    }

    pub(super) fn changes(&self, services: u64, endpoints: u64) {
        for (count, total, pending) in [
            (services, &self.services_total, &self.services_pending),
            (endpoints, &self.endpoints_total, &self.endpoints_pending),
        ] {
            total.inc_by(count);
            pending.inc_by(count.cast_signed());
        }
    }

    pub(super) fn taken(&self) {
        self.services_pending.set(0);
        self.endpoints_pending.set(0);
    }

    pub(super) fn queued(&self, family: Family, at: SystemTime) {
        self.last_queued.get_or_create(&of(family)).set(seconds(at));
    }

    pub(super) fn finished(&self, family: Family, kind: SyncKind, took: Duration) {
        let of_kind = match kind {
            SyncKind::Full => &self.full_duration,
            SyncKind::Partial => &self.partial_duration,
        };
        for histogram in [&self.sync_duration, of_kind] {
            histogram.get_or_create(&of(family)).observe(took.as_secs_f64());
        }
    }

    pub(super) fn applied(&self, family: Family, at: SystemTime) {
        self.last_sync.get_or_create(&of(family)).set(seconds(at));
    }

    pub(super) fn programmed(&self, family: Family, took: Duration) {
        self.programming_duration.get_or_create(&of(family)).observe(took.as_secs_f64());
    }

    pub(super) fn set_no_local(&self, counts: NoLocal) {
        for (policy, PerFamily { v4, v6 }) in [("internal", counts.internal), ("external", counts.external)] {
            for (family, count) in [(Family::V4, v4), (Family::V6, v6)] {
                let labels = [("ip_family", family.to_string()), ("traffic_policy", policy.to_owned())];
                self.no_local.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    pub(super) fn probed(&self, probe: Probe, status: u16) {
        let answers = match probe {
            Probe::Healthz => &self.healthz,
            Probe::Livez => &self.livez,
        };
        answers.get_or_create(&[("code", status.to_string())]).inc();
    }
}

fn of(family: Family) -> Labels<1> {
    [("ip_family", family.to_string())]
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
