//! Nodes, Pods and EndpointSlices as JSON, which `kubectl` reads as well as YAML.

use serde_json::{Value, json};

use crate::netns::layout::{Family, Machine, POD_PORT, node_of};

/// The second port that pods serve on, where a scenario asks for it.
pub const SECOND_PORT: u16 = 8081;

/// A Node, as a kubelet would register it.
pub fn node(node: &Machine, zone: &str) -> String {
    let addresses =
        Family::ALL.map(|family| json!({ "type": "InternalIP", "address": node.address(family) }));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": {
            "kubernetes.io/hostname": node.name,
            "topology.kubernetes.io/zone": zone,
        } },
        "status": { "addresses": addresses },
    })
    .to_string()
}

/// A Pod that is bound to its node. Its container tells the names of its ports.
pub fn pod(pod: &Machine, name: &str, app: &str, ports: &[(&str, u16)]) -> String {
    let ports: Vec<_> =
        ports.iter().map(|(name, port)| json!({ "name": name, "containerPort": port })).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeName": node_of(pod).name,
            "automountServiceAccountToken": false,
            "containers": [{ "name": "echo", "image": "echo", "ports": ports }],
        },
    })
    .to_string()
}

/// What a kubelet reports of a Pod whose container runs.
pub fn pod_status(pod: &Machine, is_ready: bool) -> String {
    let ips = Family::ALL.map(|family| json!({ "ip": pod.address(family) }));
    json!({ "status": {
        "phase": "Running",
        "hostIP": node_of(pod).v4,
        "podIP": pod.v4,
        "podIPs": ips,
        "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
    } })
    .to_string()
}

/// The conditions of an endpoint of a slice that is written by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// New connections may go there.
    pub ready: bool,
    /// It answers, whether or not it is about to end.
    pub serving: bool,
    /// It is about to end.
    pub terminating: bool,
}

impl Conditions {
    /// As it should be.
    pub const READY: Self = Self { ready: true, serving: true, terminating: false };
    /// About to end, and still answers.
    pub const ENDING: Self = Self { ready: false, serving: true, terminating: true };
}

/// An EndpointSlice that belongs to a Service, for the IPv4 addresses of pods.
pub fn slice(name: &str, service: &str, ports: &[(&str, u16)], endpoints: &[(Machine, Conditions)]) -> Value {
    let ports: Vec<_> =
        ports.iter().map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP" })).collect();
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(pod, Conditions { ready, serving, terminating })| {
            json!({
                "addresses": [pod.v4],
                "nodeName": node_of(pod).name,
                "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    })
}

/// A slice with one unnamed port, the pods' usual one.
pub fn plain_slice(name: &str, service: &str, endpoints: &[(Machine, Conditions)]) -> Value {
    slice(name, service, &[("", POD_PORT)], endpoints)
}
