//! API objects for tests, written as the API writes them.

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{List, Notice, Objects, Settings, Snapshot, build};

/// An API object from its JSON.
pub(crate) fn from_json<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// A Service `default/NAME`.
pub(crate) fn service(name: &str, spec: &Value) -> Service {
    from_json(json!({ "metadata": { "namespace": "default", "name": name }, "spec": spec }))
}

/// An EndpointSlice `default/NAME` of the Service `default/OWNER`.
pub(crate) fn slice(
    name: &str,
    owner: &str,
    address_type: &str,
    ports: &Value,
    endpoints: &Value,
) -> EndpointSlice {
    from_json(json!({
        "metadata": {
            "namespace": "default", "name": name, "labels": { "kubernetes.io/service-name": owner },
        },
        "addressType": address_type,
        "ports": ports,
        "endpoints": endpoints,
    }))
}

/// The Node `NAME` in a zone, with addresses.
pub(crate) fn node(name: &str, zone: Option<&str>, addresses: &[&str]) -> Node {
    let addresses: Vec<_> =
        addresses.iter().map(|address| json!({ "type": "InternalIP", "address": address })).collect();
    from_json(json!({
        "metadata": { "name": name, "labels": zone.map(|zone| json!({ "topology.kubernetes.io/zone": zone })) },
        "status": { "addresses": addresses },
    }))
}

/// Those objects, applied in the order given.
pub(crate) fn objects(
    services: impl IntoIterator<Item = Service>,
    slices: impl IntoIterator<Item = EndpointSlice>,
) -> Objects {
    let mut objects = Objects::default();
    for service in services {
        objects.apply_service(service);
    }
    for slice in slices {
        objects.apply_slice(slice);
    }
    objects
}

/// The settings of a node called `here`.
pub(crate) fn settings() -> Settings {
    Settings { node_name: "here".into(), ..Settings::default() }
}

/// Their snapshot on a node called `here`.
pub(crate) fn snapshot(services: Vec<Service>, slices: Vec<EndpointSlice>) -> Snapshot {
    build(&objects(services, slices), &settings())
}

/// Every frontend as `KEY KIND ADDRESS:PORT`.
pub(crate) fn frontends(snapshot: &Snapshot) -> Vec<String> {
    let lines = snapshot.services.iter().flat_map(|(key, service)| {
        service.frontends.iter().map(move |frontend| format!("{key} {} {frontend}", frontend.kind))
    });
    lines.collect()
}

/// Every backend of a cluster list as `ADDRESS:PORT STATE`, followed by ` local` if it is.
pub(crate) fn backends(snapshot: &Snapshot) -> Vec<String> {
    let line = |backend: &super::Backend| {
        let local = if backend.local { " local" } else { "" };
        let address = std::net::SocketAddr::new(backend.address, backend.port);
        format!("{address} {}{local}", backend.state.as_str())
    };
    let candidates = snapshot.services.values().flat_map(|service| service.candidates(List::Cluster));
    candidates.map(line).collect()
}

/// Every notice as `OBJECT FIELD`.
pub(crate) fn notices(snapshot: &Snapshot) -> Vec<String> {
    let line = |notice: &Notice| format!("{} {} {}", notice.kind.as_str(), notice.object, notice.field);
    snapshot.notices.iter().map(line).collect()
}
