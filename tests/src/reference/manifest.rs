//! Objects as the API writes them.

use serde_json::{Value, json};

use super::{
    Reference,
    address::Family,
    object::{Change, Endpoint, IpMode, Node, Service, ServiceType, Slice},
};

/// The second from which ages are counted: all of them are in one hour.
fn timestamp(second: u32) -> String {
    format!("2026-01-01T00:{:02}:{:02}Z", second / 60 % 60, second % 60)
}

/// A Service.
pub fn service(service: &Service, namespace: &str) -> Value {
    let labels = service.other_proxy.then(|| json!({ "service.kubernetes.io/service-proxy-name": "other" }));
    let kind = match service.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    };
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name, "protocol": port.protocol.name(), "port": port.port,
                "targetPort": "whatever", "nodePort": port.node_port,
            })
        })
        .collect();
    let ingress: Vec<_> = service
        .ingress
        .iter()
        .map(|ingress| match ingress.mode {
            IpMode::Unset => json!({ "ip": ingress.ip }),
            IpMode::VIP => json!({ "ip": ingress.ip, "ipMode": "VIP" }),
            IpMode::Proxy => json!({ "ip": ingress.ip, "ipMode": "Proxy" }),
        })
        .chain([json!({ "hostname": "balancer.example.com" })])
        .collect();
    let families: Vec<_> = service.cluster_ips.iter().map(|address| Family::of(*address).name()).collect();
    let cluster_ips = if families.is_empty() { json!(["None"]) } else { json!(service.cluster_ips) };
    let policy = |is_local: bool| if is_local { "Local" } else { "Cluster" };
    let affinity = service.affinity.map(|seconds| json!({ "clientIP": { "timeoutSeconds": seconds } }));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": service.name, "namespace": namespace, "labels": labels,
            "creationTimestamp": service.created.map(timestamp),
        },
        "spec": {
            "type": kind,
            "externalName": (kind == "ExternalName").then_some("example.com"),
            "clusterIP": cluster_ips[0], "clusterIPs": cluster_ips, "ipFamilies": families,
            "ports": ports,
            "externalIPs": service.external_ips,
            "loadBalancerSourceRanges": service.source_ranges,
            "sessionAffinity": if service.affinity.is_some() { "ClientIP" } else { "None" },
            "sessionAffinityConfig": affinity,
            "internalTrafficPolicy": policy(service.internal_local),
            "externalTrafficPolicy": policy(service.external_local),
            "healthCheckNodePort": service.health_port,
            "publishNotReadyAddresses": service.publishes_not_ready,
        },
        "status": { "loadBalancer": { "ingress": ingress } },
    })
}

/// An EndpointSlice.
pub fn slice(slice: &Slice, namespace: &str) -> Value {
    let mut labels = json!({});
    if !slice.service.is_empty() {
        labels["kubernetes.io/service-name"] = json!(slice.service);
    }
    if slice.headless {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|port| json!({ "name": port.name, "protocol": port.protocol.name(), "port": port.port }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": slice.name, "namespace": namespace, "labels": labels },
        "addressType": slice.family.name(),
        "ports": ports,
        "endpoints": slice.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let names = |names: &[String]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
    let has_hints = !endpoint.zones.is_empty() || !endpoint.nodes.is_empty();
    json!({
        "addresses": [endpoint.address],
        "nodeName": endpoint.node,
        "conditions": {
            "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
        },
        "hints": has_hints.then(|| {
            json!({ "forZones": names(&endpoint.zones), "forNodes": names(&endpoint.nodes) })
        }),
    })
}

/// The Node of that name.
pub fn node(node: &Node, name: &str) -> Value {
    let labels = node.zone.as_ref().map(|zone| json!({ "topology.kubernetes.io/zone": zone }));
    let addresses: Vec<_> =
        node.addresses.iter().map(|it| json!({ "type": "InternalIP", "address": it })).collect();
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels },
        "status": { "addresses": addresses },
    })
}

/// All objects that there are.
pub fn all(reference: &Reference, namespace: &str) -> Vec<Value> {
    let services = reference.services.values().map(|it| service(it, namespace));
    let slices = reference.slices.values().map(|it| slice(it, namespace));
    let node = reference.node.iter().map(|it| node(it, &reference.node_name));
    services.chain(slices).chain(node).collect()
}

/// What an API server is told of a change: an object that is there now, or the one that is gone by plural and name.
pub fn change(
    change: &Change,
    reference: &Reference,
    namespace: &str,
) -> Result<Value, (&'static str, String)> {
    match change {
        Change::Service(it) => Ok(service(it, namespace)),
        Change::Slice(it) => Ok(slice(it, namespace)),
        Change::Node(it) => Ok(node(it, &reference.node_name)),
        Change::NoService(name) => Err(("services", name.clone())),
        Change::NoSlice(name) => Err(("endpointslices", name.clone())),
        Change::NoNode => Err(("nodes", reference.node_name.clone())),
    }
}
