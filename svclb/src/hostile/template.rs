//! Valid objects: those of the neighbours, and those that hostile ones begin as.

use serde_json::{Value, json};

/// The node of the tests.
pub(crate) const NODE: &str = "here";

const SLICE: &str = "discovery.k8s.io/v1";

/// Objects of every kind that nobody touches.
pub(crate) fn neighbours() -> Vec<Value> {
    let web = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "namespace": "shop", "name": "web", "uid": "u-web", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": { "svclb.io/algorithm": "maglev" },
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:96::1"],
            "ipFamilies": ["IPv4", "IPv6"], "externalIPs": ["192.0.2.1"], "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30100, "loadBalancerSourceRanges": ["198.51.100.0/24"],
            "sessionAffinity": "ClientIP",
            "ports": [
                { "name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080 },
                { "name": "https", "port": 443, "protocol": "TCP", "nodePort": 30443 },
            ],
        },
        "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } },
    });
    let dns = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "namespace": "shop", "name": "dns", "uid": "u-dns", "creationTimestamp": "2026-01-02T00:00:00Z",
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2"], "ipFamilies": ["IPv4"],
            "internalTrafficPolicy": "Local",
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP" }, { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
            ],
        },
    });
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NODE, "labels": { "topology.kubernetes.io/zone": "a" } },
        "spec": { "podCIDRs": ["10.244.0.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.10" }] },
    });
    let http = json!([{ "name": "http", "port": 8080 }, { "name": "https", "port": 8443 }]);
    let dns_ports =
        json!([{ "name": "dns", "port": 53, "protocol": "UDP" }, { "name": "dns-tcp", "port": 53 }]);
    vec![
        web,
        dns,
        node,
        service_cidr("kubernetes", &["10.96.0.0/24", "fd00:96::/120"]),
        slice(["shop", "web-a", "web"], "IPv4", &http, &["10.244.0.1", "10.244.0.2", "10.244.0.3"]),
        slice(["shop", "web-b", "web"], "IPv6", &http, &["fd00:244::1"]),
        slice(["shop", "dns-a", "dns"], "IPv4", &dns_ports, &["10.244.0.9"]),
    ]
}

/// What hostile objects begin as: each kind, and valid ways to be in somebody's way.
pub(crate) fn templates() -> Vec<Value> {
    let service = |name: &str, created: &str, spec: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "namespace": "evil", "name": name, "uid": "u-1", "resourceVersion": "7", "creationTimestamp": created,
                "labels": { "app": name }, "annotations": { "svclb.io/weights": "10.244.6.1=3,10.244.6.2=0" },
            },
            "spec": spec,
            "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.66", "ipMode": "VIP" }] } },
        })
    };
    let balanced = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.66", "clusterIPs": ["10.96.0.66", "fd00:96::66"],
        "ipFamilies": ["IPv4", "IPv6"], "externalIPs": ["192.0.2.66", "2001:db8::66"], "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Cluster", "healthCheckNodePort": 30166, "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 60 } },
        "loadBalancerSourceRanges": ["198.51.100.0/24", "2001:db8::/32"], "selector": { "app": "a" },
        "ports": [
            { "name": "http", "port": 80, "protocol": "TCP", "nodePort": 30066, "targetPort": "http" },
            { "name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30067, "targetPort": 5353 },
        ],
    });
    // All that is the neighbours', from a Service that says it is older.
    let thief = json!({
        "type": "NodePort", "clusterIP": "10.96.0.67", "externalIPs": ["10.96.0.1", "192.0.2.1", "203.0.113.1", "10.96.0.2"],
        "ports": [
            { "name": "http", "port": 80, "nodePort": 30080 }, { "name": "https", "port": 443 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ],
    });
    let ports = json!([
        { "name": "http", "port": 8080, "protocol": "TCP" }, { "name": "dns", "port": 5353, "protocol": "UDP" },
    ]);
    let mut hinted = slice(["evil", "a-1", "a"], "IPv4", &ports, &["10.244.6.1", "10.244.6.2"]);
    hinted["metadata"]["annotations"] =
        json!({ "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z" });
    hinted["endpoints"][0]["hints"] =
        json!({ "forZones": [{ "name": "a" }], "forNodes": [{ "name": NODE }] });
    hinted["endpoints"][1]["conditions"] = json!({ "ready": false, "serving": true, "terminating": true });
    vec![
        service("a", "2026-02-01T00:00:00Z", balanced),
        service("b", "2020-01-01T00:00:00Z", thief),
        service(
            "c",
            "2026-02-01T00:00:00Z",
            json!({ "type": "ExternalName", "externalName": "example.com" }),
        ),
        hinted,
        slice(["evil", "a-2", "a"], "IPv6", &ports, &["fd00:244::66"]),
        // The endpoints of a slice of the same Service and of a neighbour's, under another Service.
        slice(["evil", "b-1", "b"], "IPv4", &ports, &["10.244.6.1", "10.244.0.1"]),
        // Endpoints for a neighbour, which its namespace may give it.
        slice(["shop", "web-z", "web"], "IPv4", &ports, &["10.244.6.1", "10.244.0.1"]),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "there", "uid": "u-1", "resourceVersion": "7" },
            "spec": { "podCIDRs": ["10.244.6.0/24"] },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.11" }] },
        }),
        // This node's object, if Nodes had namespaces.
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "namespace": "evil", "name": NODE, "uid": "u-1", "resourceVersion": "7" },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.66" }] },
        }),
        service_cidr("more", &["10.97.0.0/24", "fd00:97::/120"]),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "evil", "name": "a", "uid": "u-1", "resourceVersion": "7",
                "annotations": { "svclb.io/socket-lb": "off" },
            },
            "spec": { "nodeName": NODE, "runtimeClassName": "gvisor", "containers": [{ "name": "a", "image": "a" }] },
            "status": { "phase": "Running" },
        }),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "evil" } }),
    ]
}

fn service_cidr(name: &str, cidrs: &[&str]) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": { "name": name, "uid": "u-1", "resourceVersion": "7" }, "spec": { "cidrs": cidrs },
    })
}

/// A slice: its namespace, its name, its Service.
fn slice([namespace, name, owner]: [&str; 3], family: &str, ports: &Value, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({ "addresses": [address], "conditions": { "ready": true }, "nodeName": NODE }))
        .collect();
    json!({
        "apiVersion": SLICE, "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": name, "uid": "u-1", "resourceVersion": "7",
            "labels": { "kubernetes.io/service-name": owner },
        },
        "addressType": family, "ports": ports, "endpoints": endpoints,
    })
}
