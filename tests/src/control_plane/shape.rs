//! The clusters that are measured, and their objects.
//!
//! Objects carry what a cluster writes into them beside what a proxy reads: owners, managed fields, what was last
//! applied. Two thirds of a list are such text, which has to be read past.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// The name of the node whose agent is measured.
pub const NODE: &str = "node-000";

/// How many nodes the endpoints are on.
const NODES: u32 = 100;
/// Endpoints of a slice, as the controller of slices fills them.
const SLICE: u32 = 100;
/// The first port of each kind.
const NODE_PORT: u32 = 30_000;
/// How many of them there are.
const NODE_PORTS: u32 = 2768;

/// The ports of the Service with many.
pub const MANY_PORTS: u32 = 400;
/// The endpoints of the Service with many.
pub const MANY_ENDPOINTS: u32 = 5000;

/// A cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it is called.
    pub name: &'static str,
    /// How many Services.
    pub services: u32,
    /// How many endpoints each has.
    pub endpoints: u32,
    /// How many different pods the endpoints are.
    pub pods: u32,
}

impl Shape {
    const fn new(name: &'static str, services: u32, endpoints: u32) -> Self {
        Self { name, services, endpoints, pods: services * endpoints }
    }

    /// All that are measured.
    pub const ALL: [Self; 5] = [
        Self::new("1k", 1_000, 10),
        Self::new("10k", 10_000, 2),
        Self::new("10kx10", 10_000, 10),
        Self::new("44k", 44_000, 2),
        // A cluster has at most 150,000 pods, so that so many endpoints are pods behind several Services.
        Self { name: "250k", services: 5_000, endpoints: 50, pods: 125_000 },
    ];

    /// How many endpoints there are in all.
    pub fn all_endpoints(&self) -> u32 {
        self.services * self.endpoints
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = Value> + use<'_> {
        let services = (0..self.services)
            .flat_map(|number| std::iter::once(service(number)).chain(self.slices(number, &[])));
        [node(), cidr()].into_iter().chain(services)
    }

    /// The slices of a Service; those of its endpoints that are in `moved` are on another pod than at first.
    pub fn slices(&self, number: u32, moved: &[u32]) -> Vec<Value> {
        let pod = |place: u32| {
            let pod = (number * self.endpoints + place) % self.pods;
            if moved.contains(&place) { self.pods + pod % 1000 } else { pod }
        };
        let ports = json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]);
        let pods: Vec<_> = (0..self.endpoints).map(pod).collect();
        slices(&name(number), &ports, &pods)
    }
}

/// A Service with many ports and one with many endpoints, which exist beside those of a shape.
pub fn large() -> Vec<Value> {
    let port = |number: u32| json!({ "name": format!("p{number}"), "port": 1000 + number, "protocol": "TCP", "targetPort": 1000 + number });
    let ports: Vec<_> = (0..MANY_PORTS).map(port).collect();
    let mut objects = vec![
        plain_service("many-ports", Ipv4Addr::new(10, 111, 0, 1), &json!(ports)),
        plain_service("many-endpoints", Ipv4Addr::new(10, 111, 0, 2), &json!([http()])),
    ];
    objects.extend(many_ports(&[0, 1]));
    objects.extend(many_endpoints(None));
    objects
}

/// The slices of the Service with many ports, whose endpoints are these pods.
pub fn many_ports(pods: &[u32]) -> Vec<Value> {
    let port =
        |number: u32| json!({ "name": format!("p{number}"), "port": 1000 + number, "protocol": "TCP" });
    let ports: Vec<_> = (0..MANY_PORTS).map(port).collect();
    let pods: Vec<_> = pods.iter().map(|pod| 200_000 + pod).collect();
    slices("many-ports", &json!(ports), &pods)
}

/// The slices of the Service with many endpoints, of which one may have moved.
pub fn many_endpoints(moved: Option<u32>) -> Vec<Value> {
    let pod = |place: u32| 201_000 + if moved == Some(place) { MANY_ENDPOINTS + place } else { place };
    let pods: Vec<_> = (0..MANY_ENDPOINTS).map(pod).collect();
    slices("many-endpoints", &json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]), &pods)
}

fn name(number: u32) -> String {
    format!("service-{number:05}")
}

fn namespace(service: &str) -> String {
    // A Service keeps its namespace, of which there are a hundred.
    let number: u32 = service.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    format!("team-{:02}", number % 100)
}

fn pod_address(pod: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + pod + 1)
}

fn http() -> Value {
    json!({ "name": "http", "port": 80, "protocol": "TCP", "targetPort": "http" })
}

/// Every twentieth Service has a node port, every fiftieth an address of a load balancer as well.
fn service(number: u32) -> Value {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + number + 10);
    let mut port = http();
    let is_node_port = number.is_multiple_of(20);
    if is_node_port {
        port["nodePort"] = json!(NODE_PORT + number / 20 % NODE_PORTS);
    }
    let mut service = plain_service(&name(number), address, &json!([port]));
    if is_node_port {
        service["spec"]["type"] = json!("NodePort");
    }
    if number.is_multiple_of(100) {
        service["spec"]["type"] = json!("LoadBalancer");
        let vip = Ipv4Addr::from(u32::from(Ipv4Addr::new(203, 0, 113, 0)) + number / 100);
        service["status"]["loadBalancer"] = json!({ "ingress": [{ "ip": vip, "ipMode": "VIP" }] });
    }
    service
}

fn plain_service(name: &str, address: Ipv4Addr, ports: &Value) -> Value {
    let labels = json!({ "app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "team": namespace(name) });
    let spec = json!({
        "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP", "ports": ports,
        "selector": { "app.kubernetes.io/name": name },
    });
    let applied = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "labels": labels }, "spec": spec });
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": namespace(name), "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels,
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": applied.to_string() },
            "managedFields": managed("helm", &json!({ "f:metadata": { "f:labels": { ".": {}, "f:team": {} } },
                "f:spec": { "f:ports": { ".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:name": {},
                "f:port": {}, "f:protocol": {}, "f:targetPort": {} } }, "f:selector": {}, "f:type": {} } })),
        },
        "spec": spec, "status": { "loadBalancer": {} },
    })
}

fn slices(service: &str, ports: &Value, pods: &[u32]) -> Vec<Value> {
    pods.chunks(SLICE as usize).enumerate().map(|(index, pods)| slice(service, index, ports, pods)).collect()
}

fn slice(service: &str, index: usize, ports: &Value, pods: &[u32]) -> Value {
    let endpoints: Vec<_> = pods.iter().map(|pod| endpoint(service, *pod)).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{service}-{index:05}"), "namespace": namespace(service),
            "generateName": format!("{service}-"), "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 7,
            "labels": {
                "kubernetes.io/service-name": service, "app.kubernetes.io/name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "annotations": { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T00:00:00Z" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": service, "controller": true,
                "blockOwnerDeletion": true, "uid": "5a4b4c1e-7a0f-4f6e-9a53-0c1d2e3f4a5b" }],
            "managedFields": managed("kube-controller-manager", &json!({ "f:addressType": {}, "f:endpoints": {},
                "f:ports": {}, "f:metadata": { "f:labels": { ".": {}, "f:kubernetes.io/service-name": {} },
                "f:ownerReferences": { ".": {} } } })),
        },
        "endpoints": endpoints, "ports": ports,
    })
}

fn endpoint(service: &str, pod: u32) -> Value {
    json!({
        "addresses": [pod_address(pod)],
        "conditions": { "ready": true, "serving": true, "terminating": false },
        "nodeName": format!("node-{:03}", pod % NODES), "zone": format!("zone-{}", pod % 3),
        "targetRef": { "kind": "Pod", "namespace": namespace(service), "name": format!("{service}-7d9f8b6c5-{pod:06}"),
            "uid": format!("00000000-0000-4000-8000-{pod:012}") },
    })
}

fn managed(manager: &str, fields: &Value) -> Value {
    json!([{ "manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields }])
}

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NODE, "labels": { "topology.kubernetes.io/zone": "zone-0" } },
        "spec": { "podCIDR": "10.128.0.0/24", "podCIDRs": ["10.128.0.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.11" }] },
    })
}

fn cidr() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": { "name": "kubernetes" }, "spec": { "cidrs": ["10.96.0.0/12"] },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What objects of a kind say at a place.
    fn all<'a>(objects: &'a [Value], kind: &str, place: &str) -> Vec<&'a Value> {
        let of_kind = objects.iter().filter(|object| object["kind"] == kind);
        of_kind.filter_map(|object| object.pointer(place)).collect()
    }

    #[test]
    fn a_shape_has_what_it_says() {
        let shape = Shape { name: "small", services: 40, endpoints: 130, pods: 2600 };
        let objects: Vec<_> = shape.objects().collect();
        let addresses: BTreeSet<_> =
            all(&objects, "Service", "/spec/clusterIP").into_iter().map(Value::to_string).collect();
        assert_eq!(addresses.len(), 40);
        let slices = all(&objects, "EndpointSlice", "/endpoints");
        let lengths: Vec<_> = slices.iter().filter_map(|list| list.as_array().map(Vec::len)).collect();
        assert_eq!(lengths, [100, 30].repeat(40));
        let endpoints = slices.iter().filter_map(|list| list.as_array()).flatten();
        let pods: BTreeSet<_> = endpoints.map(|endpoint| endpoint["addresses"].to_string()).collect();
        assert_eq!(pods.len(), 2600);
    }

    #[test]
    fn one_endpoint_moves() {
        let shape = Shape { name: "small", services: 3, endpoints: 5, pods: 15 };
        let addresses = |moved: &[u32]| -> Vec<String> {
            let slices = shape.slices(1, moved);
            let endpoints = slices[0]["endpoints"].as_array().cloned().unwrap_or_default();
            endpoints.iter().map(|endpoint| endpoint["addresses"][0].to_string()).collect()
        };
        let (before, after) = (addresses(&[]), addresses(&[2]));
        let differing: Vec<_> = (0..5).filter(|place| before[*place] != after[*place]).collect();
        assert_eq!(differing, [2]);
        assert!(shape.objects().all(|object| !object.to_string().contains(&after[2])));
    }
}
