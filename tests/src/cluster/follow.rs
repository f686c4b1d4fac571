//! EndpointSlices where no controller writes them: the rules of the endpoint slice
//! controller, as far as the scenarios need them.

use serde_json::{Map, Value, json};

/// Marks the slices of this module.
pub(super) const OWNER: &str = "endpointslice.kubernetes.io/managed-by=svclb-tests";

/// One slice per family of a Service, or none if somebody else has to write them.
pub(super) fn slices(service: &Value, pods: &[Value]) -> Vec<Value> {
    let spec = &service["spec"];
    let Some(selector) = spec["selector"].as_object().filter(|_| spec["type"] != "ExternalName") else {
        return vec![];
    };
    let selected: Vec<&Value> = pods.iter().filter(|pod| is_selected(pod, selector)).collect();
    list(&spec["ipFamilies"]).iter().flat_map(|family| of_family(service, &selected, family)).collect()
}

/// Slices have one set of ports: pods whose named ports differ are in different slices.
fn of_family(service: &Value, pods: &[&Value], family: &Value) -> Vec<Value> {
    let mut groups: Vec<(Vec<Value>, Vec<Value>)> = vec![];
    for pod in pods {
        let Some(endpoint) = endpoint(service, pod, family) else { continue };
        let ports = ports(service, Some(pod));
        match groups.iter_mut().find(|(of, _)| *of == ports) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => groups.push((ports, vec![endpoint])),
        }
    }
    if groups.is_empty() {
        groups.push((ports(service, None), vec![]));
    }
    let slice = |(number, (ports, endpoints)): (usize, (Vec<Value>, Vec<Value>))| {
        let name = text(&service["metadata"]["name"]);
        let mut labels = Map::new();
        labels.insert("kubernetes.io/service-name".into(), name.into());
        if let Some((key, value)) = OWNER.split_once('=') {
            labels.insert(key.into(), value.into());
        }
        if service["spec"]["clusterIP"] == "None" {
            labels.insert("service.kubernetes.io/headless".into(), "".into());
        }
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-{}-{number}", text(family).to_lowercase()),
                "namespace": service["metadata"]["namespace"],
                "labels": labels,
            },
            "addressType": family,
            "ports": ports,
            "endpoints": endpoints,
        })
    };
    groups.into_iter().enumerate().map(slice).collect()
}

fn endpoint(service: &Value, pod: &Value, family: &Value) -> Option<Value> {
    let is_v6 = family == "IPv6";
    let address = list(&pod["status"]["podIPs"])
        .iter()
        .map(|ip| text(&ip["ip"]))
        .find(|ip| ip.contains(':') == is_v6)?;
    if ["Failed", "Succeeded"].contains(&text(&pod["status"]["phase"])) {
        return None;
    }
    let serving = list(&pod["status"]["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let terminating = !pod["metadata"]["deletionTimestamp"].is_null();
    let unready_too = service["spec"]["publishNotReadyAddresses"] == true;
    Some(json!({
        "addresses": [address],
        "nodeName": pod["spec"]["nodeName"],
        "conditions": {
            "ready": unready_too || serving && !terminating,
            "serving": serving,
            "terminating": terminating,
        },
    }))
}

fn ports(service: &Value, pod: Option<&Value>) -> Vec<Value> {
    let named = |name: &Value| {
        let containers = pod.map(|pod| list(&pod["spec"]["containers"])).unwrap_or_default();
        let ports: Vec<_> = containers.iter().flat_map(|container| list(&container["ports"])).collect();
        ports.iter().find(|port| port["name"] == *name).map(|port| port["containerPort"].clone())
    };
    let resolved = |port: &Value| {
        let target = match &port["targetPort"] {
            Value::String(_) => named(&port["targetPort"])?,
            target => target.clone(),
        };
        Some(json!({ "name": text(&port["name"]), "port": target, "protocol": port["protocol"] }))
    };
    list(&service["spec"]["ports"]).iter().filter_map(resolved).collect()
}

fn is_selected(pod: &Value, selector: &Map<String, Value>) -> bool {
    selector.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: &Value) -> Value {
        let mut whole = json!({
            "type": "ClusterIP", "selector": { "app": "web" }, "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        json!({ "metadata": { "name": "web", "namespace": "n" }, "spec": whole })
    }

    fn pod(app: &str, is_ready: bool, is_deleted: bool, port: u16) -> Value {
        json!({
            "metadata": { "labels": { "app": app }, "deletionTimestamp": is_deleted.then_some("now") },
            "spec": {
                "nodeName": "node1",
                "containers": [{ "ports": [{ "name": "serve", "containerPort": port }] }],
            },
            "status": {
                "phase": "Running",
                "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
                "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
            },
        })
    }

    #[test]
    fn conditions_are_those_of_the_controller() {
        let cases = [
            (false, true, false, [true, true, false]),
            (false, false, false, [false, false, false]),
            (false, true, true, [false, true, true]),
            (false, false, true, [false, false, true]),
            (true, false, false, [true, false, false]),
            (true, true, true, [true, true, true]),
        ];
        for (unready_too, is_ready, is_deleted, wanted) in cases {
            let service = service(&json!({ "publishNotReadyAddresses": unready_too }));
            let slices = slices(&service, &[pod("web", is_ready, is_deleted, 1)]);
            let conditions = &slices[0]["endpoints"][0]["conditions"];
            let found = ["ready", "serving", "terminating"].map(|key| conditions[key] == true);
            assert_eq!(found, wanted, "{unready_too} {is_ready} {is_deleted}");
        }
    }

    #[test]
    fn each_family_has_a_slice_of_its_selected_pods() {
        let found = slices(&service(&json!({})), &[pod("web", true, false, 1), pod("other", true, false, 1)]);
        assert_eq!(found.len(), 2);
        for (slice, address) in found.iter().zip(["10.0.0.1", "fd00::1"]) {
            assert_eq!(slice["endpoints"].as_array().unwrap().len(), 1);
            assert_eq!(slice["endpoints"][0]["addresses"][0], address);
            assert_eq!(slice["ports"][0]["port"], 8080);
        }
    }

    #[test]
    fn named_ports_divide_pods() {
        let ports = json!([{ "port": 80, "targetPort": "serve", "protocol": "TCP" }]);
        let service = service(&json!({ "ports": ports, "ipFamilies": ["IPv4"] }));
        let found = slices(&service, &[pod("web", true, false, 1), pod("web", true, false, 2)]);
        let ports: Vec<_> = found.iter().map(|slice| slice["ports"][0]["port"].clone()).collect();
        assert_eq!(ports, [json!(1), json!(2)]);
    }

    #[test]
    fn nobody_follows_what_has_no_selector() {
        for spec in [json!({ "selector": null }), json!({ "type": "ExternalName" })] {
            assert!(slices(&service(&spec), &[pod("web", true, false, 1)]).is_empty(), "{spec}");
        }
    }

    #[test]
    fn a_service_without_pods_has_an_empty_slice() {
        let found = slices(&service(&json!({ "ipFamilies": ["IPv4"] })), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["endpoints"], json!([]));
    }
}
