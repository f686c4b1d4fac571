//! Fields that the API defines and this version does not act on yet.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};

use super::Notice;

/// What `service` asks for beyond what this version does.
pub(super) fn of_service(service: &Service) -> Vec<Notice> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let asked = [
        (
            "spec.internalTrafficPolicy",
            spec.internal_traffic_policy.as_deref() == Some("Local"),
            "Local is not honoured yet: endpoints of all nodes are used",
        ),
        (
            "spec.externalTrafficPolicy",
            external_policy_is_local(service),
            "Local is not honoured yet: endpoints of all nodes are used",
        ),
        (
            "spec.sessionAffinity",
            spec.session_affinity.as_deref() == Some("ClientIP"),
            "ClientIP is not honoured yet: each connection of a client is balanced by itself",
        ),
        (
            "spec.loadBalancerSourceRanges",
            spec.load_balancer_source_ranges.iter().flatten().any(|range| restricts(range)),
            "not honoured yet: the load balancer addresses are open to every source",
        ),
    ];
    let fields = asked.into_iter().filter(|(_, asked, _)| *asked);
    fields.map(|(field, _, message)| Notice::service(service, field, message)).collect()
}

/// What `slice` asks for beyond what this version does.
pub(super) fn of_slice(slice: &EndpointSlice) -> Option<Notice> {
    let hinted = slice.endpoints.iter().filter_map(|endpoint| endpoint.hints.as_ref()).any(|hints| {
        let zones = hints.for_zones.as_ref().is_some_and(|zones| !zones.is_empty());
        zones || hints.for_nodes.as_ref().is_some_and(|nodes| !nodes.is_empty())
    });
    let message = "topology hints are not honoured yet: endpoints of all zones and nodes are used";
    hinted.then(|| Notice::slice(slice, "endpoints[].hints", message))
}

/// The policy exists only for Services that can be reached from outside (the API's
/// `ExternalPolicyLocal`).
fn external_policy_is_local(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    let reachable = match spec.type_.as_deref() {
        Some("NodePort" | "LoadBalancer") => true,
        None | Some("ClusterIP") => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        Some(_) => false,
    };
    reachable && spec.external_traffic_policy.as_deref() == Some("Local")
}

/// A range of length 0 allows every source of its family.
fn restricts(range: &str) -> bool {
    let range = range.trim();
    !range.is_empty() && !range.ends_with("/0")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::fixture;

    #[test]
    fn a_field_is_named_exactly_when_it_would_change_something() {
        let local = "spec.externalTrafficPolicy";
        let ranges = "spec.loadBalancerSourceRanges";
        let table = [
            (json!({}), ""),
            (json!({ "internalTrafficPolicy": "Cluster", "sessionAffinity": "None" }), ""),
            (json!({ "internalTrafficPolicy": "Local" }), "spec.internalTrafficPolicy"),
            (json!({ "sessionAffinity": "ClientIP" }), "spec.sessionAffinity"),
            (json!({ "type": "NodePort", "externalTrafficPolicy": "Local" }), local),
            (json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }), local),
            (json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Cluster" }), ""),
            (json!({ "type": "ClusterIP", "externalTrafficPolicy": "Local" }), ""),
            (json!({ "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"] }), local),
            (json!({ "loadBalancerSourceRanges": ["192.0.2.0/24"] }), ranges),
            (json!({ "loadBalancerSourceRanges": [" 0.0.0.0/0 ", "::/0", ""] }), ""),
            (json!({ "loadBalancerSourceRanges": [] }), ""),
        ];
        for (spec, expected) in table {
            let notices = of_service(&fixture::service("web", &spec));
            let fields: Vec<_> = notices.iter().map(|notice| notice.field.as_str()).collect();
            assert_eq!(fields.join(" "), expected, "{spec}");
        }
    }

    #[test]
    fn hints_are_named_once_for_a_slice() {
        let table = [
            (json!([{ "addresses": ["10.1.0.1"] }]), false),
            (json!([{ "addresses": ["10.1.0.1"], "hints": { "forZones": [] } }]), false),
            (json!([{ "addresses": ["10.1.0.1"], "hints": { "forZones": [{ "name": "a" }] } }]), true),
            (json!([{ "addresses": ["10.1.0.1"], "hints": { "forNodes": [{ "name": "a" }] } }]), true),
        ];
        for (endpoints, expected) in table {
            let slice = fixture::slice("s", "web", "IPv4", &json!([]), &endpoints);
            assert_eq!(of_slice(&slice).is_some(), expected, "{endpoints}");
        }
    }
}
