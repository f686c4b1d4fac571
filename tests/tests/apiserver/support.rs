//! A watch, and what it has told.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};
use svclb::{
    apiserver::{self, Pace, Settings},
    model::ObjectKey,
    source::{Batch, Change},
};
use svclb_tests::apiserver::{ApiServer, call::Verb, fault::Fault};
use tokio::{sync::mpsc::Receiver, task::JoinHandle, time::timeout};

/// How long a test waits for a batch.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// This node's name.
pub(crate) const NODE: &str = "node1";

/// Kind, namespace and name.
pub(crate) type Place = (&'static str, String, String);

/// The parts of an object that are compared.
type Parts = BTreeMap<Place, Value>;

/// A watch that runs, and what it has told.
pub(crate) struct Watch {
    pub(crate) batches: Receiver<Batch>,
    pub(crate) task: JoinHandle<()>,
    pub(crate) known: Parts,
    /// What was told to be gone.
    pub(crate) deleted: Vec<Place>,
    pub(crate) is_partial: bool,
    /// How many batches have come.
    pub(crate) count: usize,
}

impl Watch {
    /// Watches a server in which nothing is silent on purpose.
    pub(crate) async fn start(server: &ApiServer) -> anyhow::Result<Self> {
        Self::start_with(server, Duration::from_secs(30)).await
    }

    /// Watches a server, whose silence is an error after that time.
    pub(crate) async fn start_with(server: &ApiServer, silence: Duration) -> anyhow::Result<Self> {
        let (client, settings) = connect(server, silence).await?;
        let (batches, task) = apiserver::watch(&client, &settings);
        let task = tokio::spawn(task);
        Ok(Self { batches, task, known: Parts::new(), deleted: vec![], is_partial: false, count: 0 })
    }

    /// The next batch; of the first one its last part.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Batch> {
        loop {
            let batch = self.next_part().await?;
            if !batch.is_part {
                self.count += 1;
                return Ok(batch);
            }
        }
    }

    async fn next_part(&mut self) -> anyhow::Result<Batch> {
        let batch = timeout(PATIENCE, self.batches.recv()).await.context("no batch in time")?;
        let batch = batch.context("the watch has ended")?;
        self.is_partial = batch.is_partial;
        for change in &batch.changes {
            let (place, parts) = parts_of(change);
            if let Some(parts) = parts {
                self.known.insert(place, parts);
            } else {
                ensure!(self.known.remove(&place).is_some(), "{place:?} is gone and was never there");
                self.deleted.push(place);
            }
        }
        Ok(batch)
    }

    /// Waits until what was told is what the server has.
    pub(crate) async fn agrees_with(&mut self, server: &ApiServer) -> anyhow::Result<()> {
        let expected = expected(server)?;
        while self.count == 0 || self.known != expected {
            let waited = self.next().await;
            waited.with_context(|| format!("known: {:#?}\nexpected: {expected:#?}", self.known))?;
        }
        Ok(())
    }

    /// Waits until a place is known or not.
    pub(crate) async fn until_known(&mut self, place: &Place, is_known: bool) -> anyhow::Result<()> {
        while self.known.contains_key(place) != is_known {
            self.next().await?;
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of the server, and settings that do not wait for long.
pub(crate) async fn connect(server: &ApiServer, silence: Duration) -> anyhow::Result<(Client, Settings)> {
    let file = tempfile::NamedTempFile::new()?;
    server.write_kubeconfig(file.path())?;
    let pace = Pace {
        retry: Duration::from_millis(5),
        retry_most: Duration::from_millis(40),
        rarely: Duration::from_millis(50),
        between_watches: Duration::from_millis(5),
        silence,
        ..Pace::default()
    };
    let kubeconfig = Some(file.path().into());
    let settings = Settings { kubeconfig, node_name: NODE.into(), follows_pods: true, pace };
    Ok((apiserver::connect(&settings).await?, settings))
}

fn parts_of(change: &Change) -> (Place, Option<Value>) {
    let place = |plural, key: &ObjectKey| (plural, key.namespace.to_string(), key.name.to_string());
    match change {
        Change::Service(key, object) => (place("services", key), object.as_deref().map(parts)),
        Change::Slice(key, object) => (place("endpointslices", key), object.as_deref().map(parts)),
        Change::Node(key, object) => (place("nodes", key), object.as_deref().map(parts)),
        Change::ServiceCidr(key, object) => (place("servicecidrs", key), object.as_deref().map(parts)),
        Change::Pod(key, object) => (place("pods", key), object.as_deref().map(parts)),
    }
}

/// What the tests set in objects, and the agent keeps.
fn parts(object: &impl Serialize) -> Value {
    let object = serde_json::to_value(object).unwrap_or_default();
    json!({ "spec": object["spec"], "endpoints": object["endpoints"], "ports": object["ports"],
            "uid": object["metadata"]["uid"] })
}

/// What the agent is to know of a server.
pub(crate) fn expected(server: &ApiServer) -> anyhow::Result<Parts> {
    let wanted = [
        ("services", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"),
        ("endpointslices", "!service.kubernetes.io/headless", ""),
        ("nodes", "", "metadata.name=node1"),
        ("servicecidrs", "", ""),
        ("pods", "", "spec.nodeName=node1"),
    ];
    let mut expected = Parts::new();
    for (plural, labels, fields) in wanted {
        for object in server.select(plural, labels, fields)? {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            expected.insert((plural, text("namespace"), text("name")), parts(&object));
        }
    }
    Ok(expected)
}

/// The place of a Service.
pub(crate) fn service_place(name: &str) -> Place {
    ("services", "default".into(), name.into())
}

/// A Service.
pub(crate) fn service(name: &str, address: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "default", "name": name, "managedFields": [{ "manager": "test" }] },
        "spec": { "clusterIP": format!("10.96.0.{address}"), "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] },
    })
}

/// A slice of a Service with that many endpoints.
pub(crate) fn slice(name: &str, endpoints: u8) -> Value {
    let endpoint =
        |last| json!({ "addresses": [format!("10.244.0.{last}")], "conditions": { "ready": true } });
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "namespace": "default", "name": name, "labels": { "kubernetes.io/service-name": name } },
        "addressType": "IPv4", "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
    })
}

/// A Node.
pub(crate) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDRs": ["10.244.1.0/24"] },
    })
}

/// A `ServiceCIDR`.
pub(crate) fn service_cidr(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": name },
        "spec": { "cidrs": ["10.96.0.0/16"] },
    })
}

/// A server with something of every kind.
pub(crate) fn filled_server() -> anyhow::Result<ApiServer> {
    let server = ApiServer::start()?;
    for (name, address) in [("web", 1), ("db", 2)] {
        server.apply(service(name, address));
        server.apply(slice(name, address));
    }
    server.apply(node(NODE));
    server.apply(node("node2"));
    server.apply(service_cidr("kubernetes"));
    Ok(server)
}

/// What can go wrong with a call for all objects, and with a watch.
pub(crate) const FAULTS: [Fault; 15] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::Status(429),
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(410),
    Fault::Cut(0),
    Fault::Cut(300),
    Fault::Stall(0),
    Fault::Stall(300),
    Fault::ErrorEvent(410),
    Fault::ErrorEvent(500),
    Fault::End,
    Fault::NoBookmark,
    Fault::Garbage,
];

/// The verbs by which kinds are followed.
pub(crate) const VERBS: [Verb; 2] = [Verb::List, Verb::Watch];
