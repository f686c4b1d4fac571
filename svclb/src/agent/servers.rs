//! What others ask the agent over HTTP, and what it tells of each pass.

use std::{collections::BTreeSet, io, net::SocketAddr, time::Instant};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Settings, collect::Collector, error::RunError, sync::Pass};
use crate::{
    apiserver::{Events, Severity},
    config::{NodePortAddresses, Source},
    health::{self, AbsentNode, Moment, ServicePorts, State},
    http,
    metrics::{self, Metrics, NoLocal, Pages, SyncKind},
    model::{Family, Model, PerFamily},
    source::{Batch, Change},
};

/// Health, metrics and Events, from the side of the agent.
pub(super) struct Servers {
    state: State,
    metrics: Metrics,
    ports: ServicePorts,
    events: Events,
    node_ports: NodePortAddresses,
    /// Health check ports that could not be opened and were told of.
    closed: BTreeSet<String>,
    has_started: bool,
}

impl Servers {
    /// Begins to listen. What listens is given to `tasks` and ends with `stop`.
    pub(super) fn start(
        settings: &Settings,
        events: Events,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, RunError> {
        let config = &settings.config;
        // A folder of manifests need not have Nodes.
        let absent = match config.source {
            Source::Manifests(_) => AbsentNode::Eligible,
            Source::Kubeconfig(_) | Source::InCluster => AbsentNode::Ineligible,
        };
        let state = State::new(config.sync_period, absent);
        let metrics = Metrics::new();
        metrics.set_collect(Collector(settings.pins.clone()));
        let listening = Listening { hard: config.bind_address_hard_fail, events: &events, tasks, stop };
        if let Some(address) = config.healthz_bind_address {
            let (state, metrics) = (state.clone(), metrics.clone());
            let reason = "FailedToStartProxierHealthcheck";
            listening.at("healthzBindAddress", address, reason, move |listener, stop| {
                health::serve(listener, state, metrics, stop)
            })?;
        }
        if let Some(address) = config.metrics_bind_address {
            let pages = Pages::new(metrics.clone(), config);
            listening.at(
                "metricsBindAddress",
                address,
                "FailedToStartMetricServer",
                move |listener, stop| metrics::serve(listener, pages, stop),
            )?;
        }
        Ok(Self {
            ports: ServicePorts::new(state.clone()),
            state,
            metrics,
            events,
            node_ports: config.node_port_addresses.clone(),
            closed: BTreeSet::new(),
            has_started: false,
        })
    }

    /// Changes have arrived and wait to be in the tables.
    pub(super) fn queued(&self, batch: &Batch) {
        let count = |is: fn(&Change) -> bool| batch.changes.iter().filter(|change| is(change)).count() as u64;
        let services = count(|change| matches!(change, Change::Service(..)));
        let endpoints = count(|change| matches!(change, Change::Slice(..)));
        self.metrics.changes(services, endpoints);
        for family in Family::ALL {
            self.state.queued(family, Moment::now());
            self.metrics.queued(family);
        }
    }

    /// A pass, which began at `since`, has ended.
    pub(super) async fn passed(&mut self, pass: &Pass, model: &Model, since: Instant) {
        self.metrics.sync_started();
        if let Some(written) = &pass.written {
            let kind = if written.is_full { SyncKind::Full } else { SyncKind::Partial };
            for family in Family::ALL {
                self.metrics.sync_finished(family, kind, since.elapsed());
            }
        }
        if !pass.is_to_be_repeated && pass.is_loaded {
            for family in Family::ALL {
                self.state.applied(family, Moment::now());
                self.metrics.applied(family);
            }
            for (family, trigger) in &pass.delta.triggers {
                self.metrics.programmed(*family, (*trigger).into());
            }
        }
        self.state.set_node(model.node());
        let no_local = model.no_local_endpoints();
        let of = |counts: PerFamily, family| {
            let count = match family {
                Family::V4 => counts.v4,
                Family::V6 => counts.v6,
            };
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        for family in Family::ALL {
            let counts =
                NoLocal { internal: of(no_local.internal, family), external: of(no_local.external, family) };
            self.metrics.set_no_local(family, counts);
        }
        self.tell(pass, model);
        self.sync_ports(model).await;
    }

    /// The Events of a pass.
    fn tell(&mut self, pass: &Pass, model: &Model) {
        if pass.is_loaded && !self.has_started {
            self.has_started = true;
            self.events.node(
                &model.node().uid,
                Severity::Normal,
                "Starting",
                "svclb balances Services on this node",
            );
        }
        for notice in &pass.delta.notices {
            tracing::warn!("{notice}");
            self.events.notice(notice);
        }
    }

    /// Opens and closes the health check ports of Services.
    async fn sync_ports(&mut self, model: &Model) {
        let addresses: Vec<_> = match &self.node_ports {
            NodePortAddresses::All | NodePortAddresses::Cidrs(_) => Vec::new(),
            NodePortAddresses::Primary => model.node().primary_addresses().collect(),
        };
        let failures = self.ports.sync(model.health_checks(), &addresses).await;
        let closed: BTreeSet<_> = failures.iter().map(ToString::to_string).collect();
        for failure in failures.iter().filter(|failure| !self.closed.contains(&failure.to_string())) {
            tracing::warn!("{failure}");
            let uid = model.uid(&failure.service).unwrap_or_default();
            let reason = "FailedToStartServiceHealthcheck";
            self.events.service(&failure.service, uid, Severity::Warning, reason, &failure.to_string());
        }
        self.closed = closed;
    }
}

/// How servers are started.
struct Listening<'a> {
    hard: bool,
    events: &'a Events,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Listening<'_> {
    /// Serves at `address`. Unless told to fail hard, tries for ever, and tells of it once.
    fn at<F>(
        &self,
        field: &'static str,
        address: SocketAddr,
        reason: &'static str,
        serve: impl FnOnce(tokio::net::TcpListener, CancellationToken) -> F + Send + 'static,
    ) -> Result<(), RunError>
    where
        F: Future<Output = ()> + Send,
    {
        let cannot = move |error: &io::Error| format!("{field}: cannot listen at {address}: {error}");
        let (events, stop) = (self.events.clone(), self.stop.clone());
        if self.hard {
            let listener = http::listen(address).map_err(|error| {
                self.events.node("", Severity::Warning, reason, &cannot(&error));
                RunError::Other(cannot(&error))
            })?;
            self.tasks.spawn(async move { serve(listener, stop).await });
            return Ok(());
        }
        self.tasks.spawn(async move {
            let failed = |error: &io::Error| {
                tracing::error!("{}; trying again every 5 s", cannot(error));
                events.node("", Severity::Warning, reason, &cannot(error));
            };
            let listener = tokio::select! {
                listener = http::listen_in_time(address, failed) => listener,
                () = stop.cancelled() => return,
            };
            serve(listener, stop).await;
        });
        Ok(())
    }
}
