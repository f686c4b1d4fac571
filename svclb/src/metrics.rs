//! What the agent measures, for Prometheus.
//!
//! kube-proxy's own names where they mean something here, so that dashboards and alerts go on working
//! (`kube_proxy`); svclb's own below `svclb_`, most of them read from the kernel's tables when somebody asks
//! ([`Collect`]). `docs/metrics.md` lists all of them.

mod answer;
mod backends;
mod classic;
mod collect;
mod condition;
mod kube_proxy;
mod own;
mod process;
mod render;
mod series;
mod tracked;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use prometheus_client::{encoding::text, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{
    answer::Pages,
    backends::{BackendCounts, Culprits},
    collect::{Collect, Counts, MapFill, Sample},
    kube_proxy::{Probe, SyncKind},
    tracked::Walk,
};
use self::{kube_proxy::KubeProxy, own::Own, process::Process, tracked::Tracked};
use crate::{
    config::ServiceSeries,
    http,
    model::{Family, NoLocal},
};

/// All metrics. A clone is the same metrics.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    kube_proxy: KubeProxy,
    tracked: Tracked,
    collect: Arc<OnceLock<Box<dyn Collect>>>,
    started: SystemTime,
}

impl Metrics {
    /// Metrics that start now, with nothing to read from the kernel's tables; these Service ports will have series.
    pub fn new(which: ServiceSeries) -> Self {
        let mut registry = Registry::default();
        let started = SystemTime::now();
        let since_1970 = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Process::register(registry.sub_registry_with_prefix("process"), since_1970.as_secs_f64());
        let kube_proxy = KubeProxy::register(registry.sub_registry_with_prefix("kubeproxy"));
        let collect = Arc::default();
        let own = registry.sub_registry_with_prefix("svclb");
        Own::register(own, &collect, which);
        let tracked = Tracked::register(own);
        Self(Arc::new(Inner { registry, kube_proxy, tracked, collect, started }))
    }

    /// Gives what reads the kernel's tables from now on; once, the first one counts.
    pub fn set_collect(&self, collect: impl Collect) {
        drop(self.0.collect.set(Box::new(collect)));
    }

    /// So many changes of Services and of endpoints have arrived and are to be worked in.
    pub fn changes(&self, services: u64, endpoints: u64) {
        self.0.kube_proxy.changes(services, endpoints);
    }

    /// A family's tables are to be synchronised.
    pub fn queued(&self, family: Family) {
        self.0.kube_proxy.queued(family, SystemTime::now());
    }

    /// A pass begins, which works all changes in that have arrived.
    pub fn sync_started(&self) {
        self.0.kube_proxy.taken();
    }

    /// A pass over the tables of a family has ended, well or not.
    pub fn sync_finished(&self, family: Family, kind: SyncKind, took: Duration) {
        self.0.kube_proxy.finished(family, kind, took);
    }

    /// Everything that is wanted of a family is in the tables.
    pub fn applied(&self, family: Family) {
        self.0.kube_proxy.applied(family, SystemTime::now());
    }

    /// A change of endpoints is in the tables. `trigger` is when its cause happened
    /// (`endpoints.kubernetes.io/last-change-trigger-time` of the EndpointSlice); what happened before the agent
    /// started says nothing about it and is left out.
    pub fn programmed(&self, family: Family, trigger: SystemTime) {
        if trigger >= self.0.started {
            // A clock that is behind the API server's makes it no time at all.
            let took = trigger.elapsed().unwrap_or_default();
            self.0.kube_proxy.programmed(family, took);
        }
    }

    /// How many Service ports want endpoints of this node and have none.
    pub fn set_no_local(&self, counts: NoLocal) {
        self.0.kube_proxy.set_no_local(counts);
    }

    /// The collector has walked through the tables of a family.
    pub fn walked(&self, family: Family, walk: &Walk) {
        self.0.tracked.walked(family, walk);
    }

    /// Somebody asked for the agent's health and got this status.
    pub fn probed(&self, probe: Probe, status: u16) {
        self.0.kube_proxy.probed(probe, status);
    }

    /// All of them in the text format of Prometheus, version 0.0.4. Reads the kernel's tables.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match text::encode(&mut text, &self.0.registry) {
            Ok(()) => classic::from_open_metrics(&text),
            Err(fmt::Error) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(ServiceSeries::default())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("started", &self.0.started).finish_non_exhaustive()
    }
}

/// Serves `/metrics` and what stands beside it until told to stop.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) {
    let pages = Arc::new(pages);
    let answer = move |path: String, query: String| {
        let pages = Arc::clone(&pages);
        async move { pages.answer(&path, &query).await }
    };
    http::serve_queries(listener, answer, stop).await;
}

#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;
