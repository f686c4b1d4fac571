//! What is known while packets are explained: tables, names, settings, what the API says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use svclb_common::{config::DatapathConfig, service::ServiceId};
use tokio::task::spawn_blocking;

use super::{account::PortAccount, ground::Ground, question::Objects, report::Object};
use crate::{
    datapath::{pins::Pins, readback, replica::Replica, settings, tables::Tables},
    model::{Family, ServicePortKey},
    plan::{Applied, Limits, Readback},
    sys::mapped::Access,
};

/// What is known.
pub(super) struct Scene {
    pub(super) pins: Pins,
    pub(super) config: DatapathConfig,
    pub(super) tables: Tables,
    pub(super) applied: Applied,
    pub(super) replica: Replica,
    pub(super) ground: Ground,
    agent: SocketAddr,
    /// What the agent said of Services, and of no one in particular.
    asked: BTreeMap<String, Option<Objects>>,
}

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

impl Scene {
    /// Looks at everything, as far as it has to do with packets between `ends`.
    pub(super) fn open(pins: &Pins, agent: SocketAddr, mut ends: BTreeSet<IpAddr>) -> anyhow::Result<Self> {
        let config = settings::read(pins)
            .context("the agent has not written its settings: it is of a version before this command")?
            .context("the programs that run are of another build: ask the svclb that runs there")?;
        let tables = Tables::open(pins, Access::Read)?;
        let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
        let mut backends = Vec::new();
        for (key, id) in applied.services() {
            let tables = applied.tables(key.family);
            let is_meant = tables
                .frontends_of(id)
                .into_iter()
                .flatten()
                .any(|(frontend, _)| frontend.address.is_none_or(|address| ends.contains(&address)));
            if is_meant {
                let ids = tables.backends_of(id).into_keys();
                backends.extend(ids.filter_map(|id| Some(tables.backend(id)?.key.address)));
            }
        }
        ends.extend(backends);
        let replica = Replica::load(pins, &config, &ends)?;
        let ground = Ground::open(pins)?;
        let (pins, asked) = (pins.clone(), BTreeMap::new());
        Ok(Self { pins, config, tables, applied, replica, ground, agent, asked })
    }

    /// The service port of a cell.
    pub(super) fn owner(&self, family: Family, id: ServiceId) -> Option<&ServicePortKey> {
        self.applied.tables(family).service(id)?.key.as_ref()
    }

    /// The service port of a cell, as the tables have it.
    pub(super) fn port(&self, family: Family, id: ServiceId) -> Option<(ServicePortKey, PortAccount)> {
        let key = self.owner(family, id)?.clone();
        let port = PortAccount::written(&self.applied, &key, id);
        Some((key, port))
    }

    /// What the agent says of a Service, or without one of no one in particular; nothing if it does not answer.
    pub(super) async fn objects(&mut self, service: Option<&ServicePortKey>) -> Option<Objects> {
        self.ask(service.map_or_else(String::new, |key| format!("/{}/{}", key.namespace, key.name))).await
    }

    /// What it says of the Service that has an address.
    pub(super) async fn objects_at(&mut self, address: IpAddr) -> Option<Objects> {
        self.ask(format!("/{address}")).await
    }

    async fn ask(&mut self, path: String) -> Option<Objects> {
        if let Some(known) = self.asked.get(&path) {
            return known.clone();
        }
        let url = format!("http://{}/v1/objects{path}", self.agent);
        let ask = move || -> Option<Objects> {
            let agent: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build().into();
            let text = agent.get(&url).call().ok()?.body_mut().read_to_string().ok()?;
            serde_json::from_str(&text).ok()
        };
        let answer = spawn_blocking(ask).await.ok().flatten();
        self.asked.insert(path, answer.clone());
        answer
    }

    /// The Service of a port, as an object of the API.
    pub(super) async fn service_object(&mut self, key: &ServicePortKey) -> Object {
        let objects = self.objects(Some(key)).await;
        let version = objects.and_then(|objects| objects.service).map(|it| it.account.resource_version);
        Object {
            kind: "Service",
            namespace: key.namespace.as_ref().into(),
            name: key.name.as_ref().into(),
            resource_version: version.filter(|version| !version.is_empty()),
        }
    }

    /// Where the tables are not what the API wants of a service port.
    pub(super) async fn disagreements(&mut self, key: &ServicePortKey, has: &PortAccount) -> Vec<String> {
        let Some(objects) = self.objects(Some(key)).await else {
            let agent = self.agent;
            return vec![format!(
                "not compared: the agent does not answer at {agent} (name its metrics address with --agent)"
            )];
        };
        let service = format!("Service {}/{}", key.namespace, key.name);
        let mut lines = match objects.service {
            None => vec![format!("{service} is in the tables, and the API does not have it")],
            Some(service_objects) => {
                let wanted = service_objects.ports.iter().find(|port| port.is_of(key));
                match (wanted, service_objects.account.not_proxied) {
                    (Some(wanted), _) => has.disagreements(wanted),
                    (None, Some(reason)) => {
                        vec![format!("{service} is in the tables, and not to be: {reason}")]
                    }
                    (None, None) => {
                        vec![format!("port {key} is in the tables, and the API does not have it")]
                    }
                }
            }
        };
        for line in &mut lines {
            if !line.starts_with("Service") {
                *line = format!("{service}: {line}");
            }
        }
        if !objects.is_written && !lines.is_empty() {
            lines.push(
                "the agent has changes that are not in the tables yet: see its log and svclb status".into(),
            );
        }
        lines
    }
}
