//! What the collector's walks through the tables of flows found.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family as Labelled, gauge::Gauge},
    registry::Registry,
};
use svclb_common::flow::FlowState;

use crate::model::Family;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What a walk through all tables of a family came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Flows by the number of their state.
    pub flows: [u64; FlowState::COUNT],
    /// Entries that went, by the table that they were in.
    pub expired: [(&'static str, u64); 3],
    /// Flows of which a table had forgotten half.
    pub halves: u64,
    /// How long it took, with its rests.
    pub took: Duration,
    /// For how long a CPU was busy with it.
    pub busy: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Tracked {
    flows: Labelled<Labels<3>, Gauge>,
    expired: Labelled<Labels<2>, Counter>,
    halves: Labelled<Labels<1>, Counter>,
    walks: Labelled<Labels<1>, Counter>,
    took: Labelled<Labels<1>, Gauge<f64, AtomicU64>>,
    busy: Labelled<Labels<1>, Counter<f64, AtomicU64>>,
}

impl Tracked {
    /// Into a registry whose names have the prefix already.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("tracked_flows", "Flows by state, at the last walk", metrics.flows.clone());
        registry.register("expired_entries", "Entries that the collector took away", metrics.expired.clone());
        registry.register(
            "halved_flows",
            "Flows of which a full table had forgotten half, and which are made whole",
            metrics.halves.clone(),
        );
        registry.register("walks", "Complete walks through the tables", metrics.walks.clone());
        registry.register(
            "walk_duration_seconds",
            "How long the last walk through the tables took, with its rests",
            metrics.took.clone(),
        );
        registry.register(
            "walk_cpu_seconds",
            "For how long a CPU was busy with walks through the tables",
            metrics.busy.clone(),
        );
        metrics
    }

    pub(super) fn walked(&self, family: Family, walk: &Walk) {
        let family = ("ip_family", family.as_str());
        for (state, count) in FlowState::ALL.into_iter().zip(walk.flows) {
            let labels = [family, ("protocol", state.protocol()), ("state", state.as_str())];
            self.flows.get_or_create(&labels).set(count.cast_signed());
        }
        for (table, count) in walk.expired {
            self.expired.get_or_create(&[family, ("table", table)]).inc_by(count);
        }
        self.halves.get_or_create(&[family]).inc_by(walk.halves);
        self.walks.get_or_create(&[family]).inc();
        self.took.get_or_create(&[family]).set(walk.took.as_secs_f64());
        self.busy.get_or_create(&[family]).inc_by(walk.busy.as_secs_f64());
    }
}
