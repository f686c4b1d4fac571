//! The pods that are there, and the Services in front of them, among many that nobody asks for.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use super::path::Path;
use crate::control_plane::shape::{NODE, Shape};

/// What the addresses of all pods are in, also of those that do not exist.
pub const CLUSTER_CIDR: &str = "10.128.0.0/10";
/// The node's address.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
/// That of the client outside.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The port of every pod.
pub const POD_PORT: u16 = 8080;

/// How many Services are asked for: a proxy that walks a list finds some early and some late.
const TARGETS: u16 = 8;
const PORT: u16 = 80;
/// Apart from those of [`Shape`].
const NODE_PORT: u16 = 32_700;

/// A pod of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
}

/// The pods: two backends, whose numbers as servers are their places here and one more, and a client.
pub const PODS: [Pod; 3] = [
    Pod { name: "one", address: Ipv4Addr::new(10, 190, 0, 11) },
    Pod { name: "two", address: Ipv4Addr::new(10, 190, 0, 12) },
    Pod { name: "client", address: Ipv4Addr::new(10, 190, 0, 13) },
];
/// How many of them are backends.
pub const BACKENDS: usize = 2;

/// What clients of a path connect to, in turn.
pub fn targets(path: Path) -> Vec<SocketAddr> {
    match path {
        Path::PodDirect | Path::HostDirect | Path::OutsideDirect => {
            PODS[..BACKENDS].iter().map(|pod| (pod.address, POD_PORT).into()).collect()
        }
        Path::PodClusterIp | Path::HostClusterIp => {
            (0..TARGETS).map(|number| (cluster_ip(number), PORT).into()).collect()
        }
        Path::OutsideNodePort => {
            (0..TARGETS).map(|number| (NODE_ADDRESS, NODE_PORT + number).into()).collect()
        }
    }
}

/// The ClusterIP of the Service that has one backend only, which may move.
pub fn moving() -> SocketAddr {
    (cluster_ip(TARGETS), PORT).into()
}

/// The slice of that Service, when this server is its backend.
pub fn moving_slice(server: u8) -> Value {
    let pod = PODS[..BACKENDS][usize::from(server) - 1];
    slice(TARGETS, &[pod])
}

/// All objects of a cluster of so many Services, at least the asked-for ones.
pub fn objects(services: u32) -> Vec<Value> {
    let others = services.saturating_sub(u32::from(TARGETS) + 1);
    let shape = Shape { name: "others", services: others, endpoints: 2, pods: others * 2 };
    shape.objects().chain(asked()).collect()
}

/// The Services that are asked for, and their slices.
pub fn asked() -> Vec<Value> {
    let slices = (0..TARGETS).map(|number| slice(number, &PODS[..BACKENDS]));
    (0..=TARGETS).map(service).chain(slices).chain([moving_slice(1)]).collect()
}

fn cluster_ip(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 111, 1 + high, 1 + low)
}

fn name(number: u16) -> String {
    format!("asked-{number}")
}

fn service(number: u16) -> Value {
    let port = json!({ "name": "http", "port": PORT, "protocol": "TCP", "targetPort": POD_PORT,
        "nodePort": NODE_PORT + number });
    let address = cluster_ip(number);
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name(number), "namespace": "bench" },
        "spec": {
            "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster", "sessionAffinity": "None",
            "type": "NodePort", "ports": [port],
        },
        "status": { "loadBalancer": {} },
    })
}

fn slice(number: u16, pods: &[Pod]) -> Value {
    let endpoint = |pod: &Pod| {
        json!({ "addresses": [pod.address], "nodeName": NODE,
            "conditions": { "ready": true, "serving": true, "terminating": false } })
    };
    let endpoints: Vec<_> = pods.iter().map(endpoint).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": format!("{}-0", name(number)), "namespace": "bench",
            "labels": { "kubernetes.io/service-name": name(number) } },
        "endpoints": endpoints, "ports": [{ "name": "http", "port": POD_PORT, "protocol": "TCP" }],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_as_many_services_as_wanted_and_no_address_twice() {
        for count in [10, 1000] {
            let objects = objects(count);
            let services: Vec<_> = objects.iter().filter(|object| object["kind"] == "Service").collect();
            let texts = |pointer: &str| -> Vec<String> {
                services.iter().filter_map(|service| service.pointer(pointer)).map(Value::to_string).collect()
            };
            assert_eq!(services.len(), count as usize);
            for pointer in ["/spec/clusterIP", "/spec/ports/0/nodePort"] {
                let texts = texts(pointer);
                assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "{pointer}");
            }
        }
    }

    #[test]
    fn targets_are_services_or_their_backends() {
        let objects = objects(10);
        let has = |text: &str| objects.iter().any(|object| object.to_string().contains(text));
        for path in Path::ALL {
            for target in targets(path) {
                let is_there = match path {
                    Path::OutsideNodePort => has(&format!("\"nodePort\":{}", target.port())),
                    _ => has(&format!("\"{}\"", target.ip())),
                };
                assert!(is_there, "{path:?} {target}");
            }
        }
        assert_ne!(moving_slice(1), moving_slice(2));
    }
}
