//! What others ask the agent over HTTP, and what it tells of each pass.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use k8s_openapi::jiff::Timestamp;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Settings,
    collect::Collector,
    error::RunError,
    few::{by_service, few},
    sync::{Pass, Syncer},
    told::Told,
};
use crate::{
    apiserver::{Events, Severity},
    condition::{self, Problem, Topic},
    config::{NodePortAddresses, Source},
    explain::Questions,
    health::{self, AbsentNode, Moment, ServicePorts, State},
    http,
    metrics::{self, Metrics, Pages, SyncKind},
    model::{Family, Model, NoLocal, Notice, ObjectKey},
    page::{Page, Pinned},
    source::{Batch, Change},
};

/// Health, metrics and Events, from the side of the agent.
pub(super) struct Servers {
    state: State,
    metrics: Metrics,
    ports: ServicePorts,
    events: Events,
    /// Whether node ports answer on some addresses only.
    is_restricted: bool,
    /// When what is not in the tables yet has been caused.
    triggers: Vec<(Family, Timestamp)>,
    /// What was last told of Service ports without local endpoints.
    no_local: Option<NoLocal>,
    /// Whether health check ports may have to be others.
    are_ports_due: bool,
    /// Health check ports that could not be opened and were told of.
    closed: Told,
    has_started: bool,
}

impl Servers {
    /// Begins to listen. What listens is given to `tasks` and ends with `stop`.
    pub(super) fn start(
        settings: &Settings,
        events: Events,
        questions: Questions,
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
        let metrics = Metrics::new(config.metrics_service_series);
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
            let pages = Pages::new(metrics.clone(), config, Page::new(Pinned(settings.pins.clone())))
                .with_objects(questions);
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
            is_restricted: config.node_port_addresses != NodePortAddresses::All,
            triggers: Vec::new(),
            no_local: None,
            are_ports_due: true,
            closed: Told::default(),
            has_started: false,
        })
    }

    /// What is measured.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// So many changes of Services and of slices have arrived.
    pub(super) fn count(&self, services: u64, slices: u64) {
        self.metrics.changes(services, slices);
    }

    /// Changes have arrived and wait to be in the tables. A part of the first batch waits for the others, which is no
    /// failure of this node.
    pub(super) fn queued(&self, batch: &Batch) {
        let count = |is: fn(&Change) -> bool| batch.changes.iter().filter(|change| is(change)).count() as u64;
        let services = count(|change| matches!(change, Change::Service(..)));
        let endpoints = count(|change| matches!(change, Change::Slice(..)));
        self.count(services, endpoints);
        if batch.is_part {
            return;
        }
        for family in Family::ALL {
            self.state.queued(family, Moment::now());
            self.metrics.queued(family);
        }
    }

    /// Whether a health check port is to be tried again.
    pub(super) fn has_closed_ports(&self) -> bool {
        !self.closed.is_empty()
    }

    /// A pass of `syncer`, which began at `since`, has ended.
    pub(super) async fn passed(&mut self, pass: &Pass, syncer: &Syncer, since: Instant) {
        let model = syncer.model();
        self.metrics.sync_started();
        if let Some(written) = &pass.written {
            let kind = if written.is_full { SyncKind::Full } else { SyncKind::Partial };
            for family in Family::ALL {
                self.metrics.sync_finished(family, kind, since.elapsed());
            }
        }
        self.triggers.extend(&pass.delta.triggers);
        // A device that refuses programs, or a table of addresses that is full, is told of elsewhere: it must not
        // take the node from its load balancers, nor restart the agent.
        if pass.is_applied {
            for family in Family::ALL {
                self.state.applied(family, Moment::now());
                self.metrics.applied(family);
            }
            for (family, trigger) in self.triggers.drain(..) {
                self.metrics.programmed(family, trigger.into());
            }
        }
        if pass.delta.node_changed {
            self.state.set_node(model.node());
        }
        let no_local = Some(model.no_local_endpoints());
        if let Some(counts) = no_local.filter(|_| self.no_local != no_local) {
            self.metrics.set_no_local(counts);
            self.no_local = no_local;
        }
        self.tell(pass, model);
        self.are_ports_due |= pass.delta.health_checks_changed || pass.has_moved || self.has_closed_ports();
        if pass.is_applied && self.are_ports_due {
            let node_ports = self.is_restricted.then(|| syncer.node_port_addresses());
            self.sync_ports(model, node_ports.as_deref()).await;
            self.are_ports_due = false;
        }
    }

    /// The Events of a pass.
    fn tell(&mut self, pass: &Pass, model: &Model) {
        if pass.is_applied && !self.has_started {
            self.has_started = true;
            self.events.node(
                &model.node().uid,
                Severity::Normal,
                "Starting",
                "svclb balances Services on this node",
            );
        }
        for (refused, _) in pass.written.iter().flat_map(|written| by_service(&written.refused)) {
            for refused in refused {
                let key =
                    ObjectKey { namespace: refused.key.namespace.clone(), name: refused.key.name.clone() };
                let uid = model.uid(&key).unwrap_or_default();
                let message = format!("{}: {}", refused.key, refused.reason);
                self.events.service(&key, uid, Severity::Warning, "TableFull", &message);
            }
        }
        for (told, rest) in few(&pass.delta.notices, |a, b| (a.kind, &a.object) == (b.kind, &b.object)) {
            for notice in told {
                tracing::warn!("{notice}");
                self.events.notice(notice);
            }
            if let Some(Notice { kind, object, .. }) = told.first().filter(|_| rest > 0) {
                tracing::warn!("{} {object}: {rest} more of its fields cannot be honoured", kind.as_str());
            }
        }
    }

    /// Opens and closes the health check ports of Services.
    async fn sync_ports(&mut self, model: &Model, node_ports: Option<&[IpAddr]>) {
        let failures = self.ports.sync(model.health_checks(), node_ports).await;
        let Self { closed, events, .. } = self;
        let told = failures.iter().map(|failure| {
            let what = format!("a health check port is not open: {failure}");
            let advice = "free the port, or give the Service another healthCheckNodePort";
            Problem::warning(what, failure.service.to_string(), advice)
        });
        condition::tell(Topic::HealthPorts, told);
        closed.now(failures.iter().map(ToString::to_string), |line| {
            tracing::warn!("{line}");
            let Some(failure) = failures.iter().find(|failure| failure.to_string() == line) else { return };
            let uid = model.uid(&failure.service).unwrap_or_default();
            let reason = "FailedToStartServiceHealthcheck";
            events.service(&failure.service, uid, Severity::Warning, reason, line);
        });
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
                let advice = "stop who has the address (ss -ltnp), or choose another";
                let problem = Problem::warning(cannot(error), address.to_string(), advice);
                condition::tell(Topic::Port(field), [problem]);
            };
            let listener = tokio::select! {
                listener = http::listen_in_time(address, failed) => listener,
                () = stop.cancelled() => return,
            };
            condition::tell(Topic::Port(field), []);
            serve(listener, stop).await;
        });
        Ok(())
    }
}
