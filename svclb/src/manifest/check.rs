//! Values that the API server would refuse.
//!
//! A check gives the path of the first field that is wrong and says why. Fields that can be ignored without
//! harm to the rest, such as an external IP that is no address, are left to the model, which says so.

use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service, ServicePort},
    discovery::v1::{EndpointPort, EndpointSlice},
    networking::v1::ServiceCIDR,
};

use crate::model::{
    Family, Protocol,
    name::{self, LABEL, Naming, SUBDOMAIN, check_metadata},
    parse_address,
};

/// The path of a field and what is wrong with it.
pub(super) type Refusal = (String, String);

/// Checks a `v1` Service.
pub(super) fn service(service: &Service) -> Result<(), Refusal> {
    check_metadata(&service.metadata, Naming::Namespaced(LABEL))?;
    let Some(spec) = &service.spec else { return Ok(()) };
    let traffic_policies = ["Cluster", "Local"];
    one_of("spec.type", spec.type_.as_ref(), &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])?;
    one_of("spec.internalTrafficPolicy", spec.internal_traffic_policy.as_ref(), &traffic_policies)?;
    one_of("spec.externalTrafficPolicy", spec.external_traffic_policy.as_ref(), &traffic_policies)?;
    one_of("spec.sessionAffinity", spec.session_affinity.as_ref(), &["None", "ClientIP"])?;
    cluster_ip("spec.clusterIP", spec.cluster_ip.as_deref().unwrap_or_default())?;
    for (i, address) in spec.cluster_ips.iter().flatten().enumerate() {
        cluster_ip(&format!("spec.clusterIPs[{i}]"), address)?;
    }
    for (i, family) in spec.ip_families.iter().flatten().enumerate() {
        one_of(&format!("spec.ipFamilies[{i}]"), Some(family), &Family::ALL.map(Family::as_str))?;
    }
    for (i, port) in spec.ports.iter().flatten().enumerate() {
        service_port(&format!("spec.ports[{i}]"), port)?;
    }
    Ok(())
}

/// Checks a `discovery.k8s.io/v1` EndpointSlice.
pub(super) fn slice(slice: &EndpointSlice) -> Result<(), Refusal> {
    check_metadata(&slice.metadata, Naming::Namespaced(SUBDOMAIN))?;
    one_of("addressType", Some(&slice.address_type), &["IPv4", "IPv6", "FQDN"])?;
    for (i, port) in slice.ports.iter().flatten().enumerate() {
        endpoint_port(&format!("ports[{i}]"), port)?;
    }
    for (i, endpoint) in slice.endpoints.iter().enumerate() {
        if endpoint.addresses.is_empty() {
            return Err((format!("endpoints[{i}].addresses"), "needs an address".to_owned()));
        }
        if let Some(node) = &endpoint.node_name {
            name::check(node, SUBDOMAIN).map_err(|message| (format!("endpoints[{i}].nodeName"), message))?;
        }
        for (j, address) in endpoint.addresses.iter().enumerate() {
            endpoint_address(&format!("endpoints[{i}].addresses[{j}]"), address, &slice.address_type)?;
        }
    }
    Ok(())
}

/// Checks a `v1` Node.
pub(super) fn node(node: &Node) -> Result<(), Refusal> {
    check_metadata(&node.metadata, Naming::Cluster)
}

/// Checks a `v1` Pod.
pub(super) fn pod(pod: &Pod) -> Result<(), Refusal> {
    check_metadata(&pod.metadata, Naming::Namespaced(SUBDOMAIN))
}

/// Checks a `networking.k8s.io/v1` ServiceCIDR.
pub(super) fn service_cidr(object: &ServiceCIDR) -> Result<(), Refusal> {
    check_metadata(&object.metadata, Naming::Cluster)?;
    let cidrs = object.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    let mut families = Vec::new();
    for (i, text) in cidrs.enumerate() {
        let refusal = |message| Err((format!("spec.cidrs[{i}]"), message));
        let family = match text.parse::<IpNet>() {
            Ok(cidr) if cidr.trunc() == cidr => Family::of(cidr.addr()),
            Ok(cidr) => {
                return refusal(format!("{text:?} is not the beginning of a range: {}", cidr.trunc()));
            }
            Err(_) => return refusal(format!("{text:?} is not a range of addresses")),
        };
        if families.contains(&family) {
            return refusal(format!("a second range of {}", family.as_str()));
        }
        families.push(family);
    }
    if families.is_empty() { Err(("spec.cidrs".to_owned(), "needs a range".to_owned())) } else { Ok(()) }
}

fn service_port(path: &str, port: &ServicePort) -> Result<(), Refusal> {
    port_number(&format!("{path}.port"), port.port)?;
    match port.node_port {
        None | Some(0) => {}
        Some(number) => port_number(&format!("{path}.nodePort"), number)?,
    }
    protocol(&format!("{path}.protocol"), port.protocol.as_deref())?;
    label(&format!("{path}.name"), port.name.as_deref().unwrap_or_default())
}

fn endpoint_port(path: &str, port: &EndpointPort) -> Result<(), Refusal> {
    if let Some(number) = port.port {
        port_number(&format!("{path}.port"), number)?;
    }
    protocol(&format!("{path}.protocol"), port.protocol.as_deref())?;
    label(&format!("{path}.name"), port.name.as_deref().unwrap_or_default())
}

fn endpoint_address(path: &str, address: &str, address_type: &str) -> Result<(), Refusal> {
    let is_right = |family: Family| family.as_str() == address_type;
    if address_type == "FQDN" || parse_address(address).map(Family::of).is_some_and(is_right) {
        return Ok(());
    }
    Err((path.to_owned(), format!("{address:?} is not an {address_type} address")))
}

fn cluster_ip(path: &str, address: &str) -> Result<(), Refusal> {
    if matches!(address, "" | "None") || parse_address(address).is_some() {
        return Ok(());
    }
    Err((path.to_owned(), format!("{address:?} is neither an IP address nor \"None\"")))
}

fn port_number(path: &str, number: i32) -> Result<(), Refusal> {
    if (1..=i32::from(u16::MAX)).contains(&number) {
        return Ok(());
    }
    Err((path.to_owned(), format!("{number} is not a port number (1 to 65535)")))
}

fn protocol(path: &str, protocol: Option<&str>) -> Result<(), Refusal> {
    if Protocol::parse(protocol).is_some() {
        return Ok(());
    }
    Err((path.to_owned(), format!("{:?} is none of TCP, UDP, SCTP", protocol.unwrap_or_default())))
}

fn one_of(path: &str, value: Option<&String>, known: &[&str]) -> Result<(), Refusal> {
    match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err((path.to_owned(), format!("{value:?} is none of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

fn label(path: &str, name: &str) -> Result<(), Refusal> {
    name::check(name, LABEL).map_err(|message| (path.to_owned(), message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused<T: serde::de::DeserializeOwned>(
        check: fn(&T) -> Result<(), Refusal>,
        object: Value,
    ) -> Option<String> {
        check(&serde_json::from_value(object).unwrap()).err().map(|(field, _)| field)
    }

    #[test]
    fn names_are_needed_and_plain() {
        let table = [
            (json!({ "name": "web" }), None),
            (json!({ "name": "web-1.example" , "namespace": "shop" }), None),
            (json!({}), Some("metadata.name")),
            (json!({ "name": "" }), Some("metadata.name")),
            (json!({ "name": "Web" }), Some("metadata.name")),
            (json!({ "name": "a\nb" }), Some("metadata.name")),
            (json!({ "name": "a".repeat(254) }), Some("metadata.name")),
            (json!({ "name": "a", "namespace": "a".repeat(64) }), Some("metadata.namespace")),
            (json!({ "name": "web", "namespace": "a/b" }), Some("metadata.namespace")),
        ];
        for (metadata, field) in table {
            let object = json!({ "metadata": metadata, "addressType": "IPv4" });
            let field = field.map(ToOwned::to_owned);
            assert_eq!(refused(service, object.clone()), field, "{metadata}");
            assert_eq!(refused(slice, object.clone()), field, "{metadata}");
            // A Node in a namespace would be a second one of its name.
            let has_none = metadata.get("namespace").map(|_| "metadata.namespace".to_owned());
            assert_eq!(refused(node, object), has_none.or(field), "{metadata}");
        }
    }

    #[test]
    fn what_tables_have_no_room_for_is_no_name_of_a_service_or_a_port() {
        let (fits, is_long) = ("a".repeat(63), "a".repeat(64));
        let of = |name: &str, port: &str| json!({ "metadata": { "name": name }, "spec": { "ports": [{ "port": 1, "name": port }] } });
        assert_eq!(refused(service, of(&fits, &fits)), None);
        assert_eq!(refused(service, of(&is_long, &fits)), Some("metadata.name".to_owned()));
        assert_eq!(refused(service, of(&fits, &is_long)), Some("spec.ports[0].name".to_owned()));
        let node = |name: &str| {
            json!({
                "metadata": { "name": is_long }, "addressType": "IPv4",
                "endpoints": [{ "addresses": ["10.1.0.1"], "nodeName": name }],
            })
        };
        assert_eq!(refused(slice, node(&is_long)), None);
        assert_eq!(refused(slice, node("a\nb")), Some("endpoints[0].nodeName".to_owned()));
    }

    #[test]
    fn impossible_values_of_a_service_are_refused() {
        let table = [
            (json!({ "type": "NodePort", "clusterIP": "10.0.0.1" }), None),
            (json!({ "clusterIP": "None", "externalIPs": ["left to the model"] }), None),
            (json!({ "type": "Headless" }), Some("spec.type")),
            (json!({ "internalTrafficPolicy": "local" }), Some("spec.internalTrafficPolicy")),
            (json!({ "externalTrafficPolicy": "" }), Some("spec.externalTrafficPolicy")),
            (json!({ "sessionAffinity": "Client" }), Some("spec.sessionAffinity")),
            (json!({ "clusterIP": "10.0.0.256" }), Some("spec.clusterIP")),
            (json!({ "clusterIPs": ["10.0.0.1", "x"] }), Some("spec.clusterIPs[1]")),
            (json!({ "ipFamilies": ["IPv5"] }), Some("spec.ipFamilies[0]")),
            (json!({ "ports": [{ "port": 1, "nodePort": 0 }, { "port": 65535 }] }), None),
            (json!({ "ports": [{ "port": 1 }, { "port": 0 }] }), Some("spec.ports[1].port")),
            (json!({ "ports": [{}] }), Some("spec.ports[0].port")),
            (json!({ "ports": [{ "port": 65536 }] }), Some("spec.ports[0].port")),
            (json!({ "ports": [{ "port": -1 }] }), Some("spec.ports[0].port")),
            (json!({ "ports": [{ "port": 1, "nodePort": -1 }] }), Some("spec.ports[0].nodePort")),
            (json!({ "ports": [{ "port": 1, "protocol": "tcp" }] }), Some("spec.ports[0].protocol")),
            (json!({ "ports": [{ "port": 1, "name": "A" }] }), Some("spec.ports[0].name")),
        ];
        for (spec, field) in table {
            let object = json!({ "metadata": { "name": "web" }, "spec": spec });
            assert_eq!(refused(service, object), field.map(ToOwned::to_owned), "{spec}");
        }
    }

    #[test]
    fn impossible_values_of_a_slice_are_refused() {
        let endpoints = |addresses: &[&str]| json!([{ "addresses": addresses }]);
        let table = [
            ("IPv4", json!([{ "port": 1 }, {}]), endpoints(&["10.1.0.1"]), None),
            ("FQDN", json!([]), endpoints(&["web.example.com"]), None),
            ("", json!([]), json!([]), Some("addressType")),
            ("ipv4", json!([]), json!([]), Some("addressType")),
            ("IPv4", json!([{ "port": 0 }]), json!([]), Some("ports[0].port")),
            ("IPv4", json!([{ "protocol": "x" }]), json!([]), Some("ports[0].protocol")),
            ("IPv4", json!([{ "name": "x y" }]), json!([]), Some("ports[0].name")),
            ("IPv4", json!([]), endpoints(&[]), Some("endpoints[0].addresses")),
            ("IPv4", json!([]), endpoints(&["10.1.0.1:80"]), Some("endpoints[0].addresses[0]")),
            ("IPv4", json!([]), endpoints(&["10.1.0.1", "fd00::1"]), Some("endpoints[0].addresses[1]")),
        ];
        for (address_type, ports, endpoints, field) in table {
            let object = json!({
                "metadata": { "name": "web" }, "addressType": address_type, "ports": ports,
                "endpoints": endpoints,
            });
            assert_eq!(refused(slice, object), field.map(ToOwned::to_owned), "{address_type} {endpoints}");
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let table = [
            (json!(["10.96.0.0/16"]), None),
            (json!(["10.96.0.0/16", "fd00::/108"]), None),
            (json!([]), Some("spec.cidrs")),
            (json!(["10.96.0.1/16"]), Some("spec.cidrs[0]")),
            (json!(["10.96.0.0"]), Some("spec.cidrs[0]")),
            (json!(["fd00::/108", "10.96.0.0/33"]), Some("spec.cidrs[1]")),
            (json!(["10.96.0.0/16", "10.97.0.0/16"]), Some("spec.cidrs[1]")),
        ];
        for (cidrs, field) in table {
            let object = json!({ "metadata": { "name": "services" }, "spec": { "cidrs": cidrs } });
            assert_eq!(refused(service_cidr, object), field.map(ToOwned::to_owned), "{cidrs}");
        }
    }
}
