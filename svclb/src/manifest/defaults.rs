//! What the API server fills in, for manifests that have never seen one.

use k8s_openapi::{
    api::{
        core::v1::{Node, Pod, PodSpec, Service},
        discovery::v1::EndpointSlice,
        networking::v1::ServiceCIDR,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::model::{Family, parse_address};

/// Fills in the namespace; `clusterIP`, `clusterIPs` and `ipFamilies` from each other.
pub(super) fn service(service: &mut Service) {
    trim(&mut service.metadata);
    namespace(&mut service.metadata);
    let Some(spec) = &mut service.spec else { return };
    // Slices say whom it selects.
    spec.selector = None;
    let cluster_ips = spec.cluster_ips.get_or_insert_default();
    let cluster_ip = spec.cluster_ip.get_or_insert_default();
    match (cluster_ip.is_empty(), cluster_ips.first()) {
        (true, Some(first)) => cluster_ip.clone_from(first),
        (false, None) => cluster_ips.push(cluster_ip.clone()),
        _ => {}
    }
    let families = spec.ip_families.get_or_insert_default();
    if families.is_empty() {
        let of = |text: &String| Some(Family::of(parse_address(text)?).as_str().to_owned());
        // One entry that is no address ("None") leaves no pairs to be made.
        *families = cluster_ips.iter().map(of).collect::<Option<_>>().unwrap_or_default();
    }
}

/// Fills in the namespace, and names for unnamed ports: the model takes a port whose name is not set for one
/// that the API server has not seen.
pub(super) fn slice(slice: &mut EndpointSlice) {
    trim(&mut slice.metadata);
    namespace(&mut slice.metadata);
    for port in slice.ports.iter_mut().flatten() {
        port.name.get_or_insert_default();
    }
    for endpoint in &mut slice.endpoints {
        endpoint.target_ref = None;
    }
}

/// Fills in the namespace. What a pod runs is not read.
pub(super) fn pod(pod: &mut Pod) {
    trim(&mut pod.metadata);
    namespace(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        let PodSpec { node_name, runtime_class_name, host_network, .. } = std::mem::take(spec);
        *spec = PodSpec { node_name, runtime_class_name, host_network, ..PodSpec::default() };
    }
}

/// Nothing is filled in: the object has no namespace.
pub(super) fn node(node: &mut Node) {
    trim(&mut node.metadata);
}

/// Nothing is filled in: the object has no namespace.
pub(super) fn service_cidr(object: &mut ServiceCIDR) {
    trim(&mut object.metadata);
}

/// Drops what means nothing here and is often larger than the rest: who wrote which field, and what kubectl was given.
fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    metadata.annotations.take_if(|annotations| annotations.is_empty());
}

fn namespace(metadata: &mut ObjectMeta) {
    let namespace = metadata.namespace.get_or_insert_default();
    if namespace.is_empty() {
        "default".clone_into(namespace);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn addresses_and_families_complete_each_other() {
        let both = ["10.0.0.1", "fd00::1"];
        let table = [
            (json!({ "clusterIP": "10.0.0.1" }), ("10.0.0.1", json!(["10.0.0.1"]), json!(["IPv4"]))),
            (json!({ "clusterIPs": both }), ("10.0.0.1", json!(both), json!(["IPv4", "IPv6"]))),
            (
                json!({ "clusterIP": "10.0.0.1", "clusterIPs": both, "ipFamilies": ["IPv4"] }),
                ("10.0.0.1", json!(both), json!(["IPv4"])),
            ),
            (json!({ "clusterIP": "None" }), ("None", json!(["None"]), json!([]))),
            (json!({}), ("", json!([]), json!([]))),
        ];
        for (spec, (cluster_ip, cluster_ips, families)) in table {
            let mut object: Service = serde_json::from_value(json!({ "spec": spec })).unwrap();
            service(&mut object);
            let expected: Value =
                json!({ "clusterIP": cluster_ip, "clusterIPs": cluster_ips, "ipFamilies": families });
            assert_eq!(serde_json::to_value(object.spec).unwrap(), expected);
            assert_eq!(object.metadata.namespace.as_deref(), Some("default"));
        }
    }

    #[test]
    fn what_means_nothing_is_dropped() {
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        let metadata = |annotations: Value| json!({ "namespace": "x", "managedFields": [{ "manager": "kubectl" }], "annotations": annotations });
        let table = [
            (json!({ applied: "{}" }), json!({ "namespace": "x" })),
            (json!({ applied: "{}", "a": "b" }), json!({ "namespace": "x", "annotations": { "a": "b" } })),
        ];
        for (annotations, expected) in table {
            let spec = json!({ "selector": { "app": "web" }, "clusterIP": "None" });
            let object = json!({ "metadata": metadata(annotations.clone()), "spec": spec });
            let mut object: Service = serde_json::from_value(object).unwrap();
            service(&mut object);
            assert_eq!(serde_json::to_value(&object.metadata).unwrap(), expected);
            assert_eq!(object.spec.unwrap().selector, None);

            let endpoints = json!([{ "addresses": [], "targetRef": { "kind": "Pod" } }]);
            let object = json!({ "metadata": metadata(annotations), "endpoints": endpoints });
            let mut object: EndpointSlice = serde_json::from_value(object).unwrap();
            slice(&mut object);
            assert_eq!(serde_json::to_value(&object.metadata).unwrap(), expected);
            assert_eq!(object.endpoints[0].target_ref, None);
        }
    }

    #[test]
    fn a_port_without_a_name_has_the_empty_name() {
        let ports = json!([{ "port": 1 }, { "port": 2, "name": "a" }]);
        let mut object: EndpointSlice =
            serde_json::from_value(json!({ "metadata": { "namespace": "x" }, "ports": ports })).unwrap();
        slice(&mut object);
        let names: Vec<_> = object.ports.unwrap().into_iter().map(|port| port.name.unwrap()).collect();
        assert_eq!(names, ["", "a"]);
        assert_eq!(object.metadata.namespace.as_deref(), Some("x"));
    }
}
