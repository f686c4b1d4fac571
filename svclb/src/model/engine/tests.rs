//! What a change costs, and what is told of it.

mod history;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::{Family, PerFamily, Protocol, Reason, TrafficPolicy, fixture};

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn put(service: Service) -> Change {
    Change::Service(ObjectKey::of(&service.metadata), Some(Arc::new(service)))
}

fn put_slice(slice: EndpointSlice) -> Change {
    Change::Slice(ObjectKey::of(&slice.metadata), Some(Arc::new(slice)))
}

fn put_node(node: Node) -> Change {
    Change::Node(ObjectKey::of(&node.metadata), Some(Arc::new(node)))
}

fn new() -> Model {
    Model::new(fixture::settings())
}

/// Applies and settles; names of the Services of the ports that changed.
fn settle(model: &mut Model, changes: impl IntoIterator<Item = Change>) -> (Delta, String) {
    changes.into_iter().for_each(|change| model.apply(&change));
    let delta = model.settle();
    let names: Vec<_> = delta.services.iter().map(|key| key.name.as_ref()).collect();
    let names = names.join(" ");
    (delta, names)
}

fn spec(extra: &Value) -> Value {
    let mut spec = json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80 }] });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec
}

/// A slice with one endpoint on `node`.
fn slice_on(name: &str, owner: &str, node: &str, more: &Value) -> EndpointSlice {
    let mut endpoint = json!({ "addresses": ["10.1.0.1"], "nodeName": node });
    endpoint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fixture::slice(name, owner, "IPv4", &json!([{ "name": "", "port": 8080 }]), &json!([endpoint]))
}

#[test]
fn one_changed_slice_costs_one_service_of_forty_four_thousand() {
    let mut model = new();
    for number in 0..44_000_u32 {
        let name = format!("s{number:05}");
        let [_, a, b, c] = number.to_be_bytes();
        let spec = spec(&json!({ "clusterIP": format!("10.{a}.{b}.{c}") }));
        model.apply(&put(fixture::service(&name, &spec)));
        model.apply(&put_slice(slice_on(&name, &name, "there", &json!({}))));
    }
    assert_eq!(model.settle().services.len(), 44_000);
    assert_eq!(model.computed(), 44_000);

    let changed = slice_on("s12345", "s12345", "here", &json!({}));
    assert_eq!(settle(&mut model, [put_slice(changed.clone())]).1, "s12345");
    assert_eq!(model.computed(), 44_001);
    assert_eq!(settle(&mut model, [put_slice(changed)]).1, "", "nothing new");
    model.apply(&put_node(fixture::node("here", Some("a"), &["192.0.2.1"])));
    assert!(model.settle().node_changed);
    assert_eq!(model.computed(), 44_001, "no Service cares for the node");
}

#[test]
fn a_change_of_the_node_touches_those_that_care() {
    let status = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } });
    let mut ranged = fixture::service(
        "ranged",
        &spec(&json!({ "clusterIP": "10.0.0.2", "loadBalancerSourceRanges": ["192.0.2.0/24"] })),
    );
    ranged.status = fixture::from_json(status);
    let hints = json!({ "hints": { "forZones": [{ "name": "a" }] } });
    let there = json!({ "addresses": ["10.1.0.2"], "hints": { "forZones": [{ "name": "b" }] } });
    let mut model = new();
    settle(
        &mut model,
        [
            put(fixture::service("plain", &spec(&json!({})))),
            put(fixture::service("hinted", &spec(&json!({ "clusterIP": "10.0.0.3" })))),
            put(ranged),
            put_slice(slice_on("a", "hinted", "here", &hints)),
            put_slice(slice_on("b", "hinted", "there", &there)),
        ],
    );
    assert_eq!(model.computed(), 3);
    let zone = |zone: Option<&str>, address: &str| put_node(fixture::node("here", zone, &[address]));
    let (delta, names) = settle(&mut model, [zone(Some("a"), "198.51.100.1")]);
    assert_eq!((names.as_str(), delta.node_changed), ("hinted", true));
    assert_eq!(settle(&mut model, [zone(Some("a"), "192.0.2.1")]).1, "ranged");
    assert_eq!(model.node().addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    let other = put_node(fixture::node("there", Some("b"), &["192.0.2.2"]));
    assert_eq!(settle(&mut model, [other]).0, Delta::default());
    let (delta, names) = settle(&mut model, [Change::Node(key("", "here"), None)]);
    assert_eq!((names.as_str(), delta.node_changed, model.node().exists), ("hinted ranged", true, false));
}

#[test]
fn the_next_claimant_takes_over_when_the_owner_goes() {
    let service = |name: &str, created: &str, ip: &str| -> Service {
        fixture::from_json(json!({
            "metadata": { "namespace": "default", "name": name, "creationTimestamp": created, "uid": name },
            "spec": { "clusterIP": ip, "externalIPs": ["192.0.2.1"], "ports": [{ "port": 80 }] },
        }))
    };
    let mut model = new();
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    settle(&mut model, [put(service("b", old, "10.0.0.2"))]);
    let (delta, names) = settle(&mut model, [put(service("a", new, "10.0.0.1"))]);
    assert_eq!((names.as_str(), delta.notices.len()), ("a", 1));
    let Notice { reason, uid, object, .. } = &delta.notices[0];
    assert_eq!((*reason, uid.as_deref(), object), (Reason::AddressConflict, Some("a"), &key("default", "a")));

    let frontends =
        |model: &Model| -> Vec<usize> { model.services().values().map(|s| s.frontends.len()).collect() };
    assert_eq!(frontends(&model), [1, 2]);
    let (delta, names) = settle(&mut model, [Change::Service(key("default", "b"), None)]);
    assert_eq!((names.as_str(), delta.notices.len(), model.notices().count()), ("a b", 0, 0));
    assert_eq!(frontends(&model), [2]);
    let (delta, names) = settle(&mut model, [put(service("b", old, "10.0.0.2"))]);
    assert_eq!(
        (names.as_str(), delta.notices.len()),
        ("a b", 1),
        "an older one that comes later has it back"
    );
    let (_, names) = settle(&mut model, [put(service("b", "2026-01-03T00:00:00Z", "10.0.0.2"))]);
    assert_eq!(names, "a b", "recreated, it is the younger one");
}

#[test]
fn labels_and_types_that_come_and_go_act_like_deletions() {
    let plain = || fixture::service("web", &spec(&json!({})));
    let mut labelled = plain();
    labelled.metadata.labels =
        Some([("service.kubernetes.io/service-proxy-name".to_owned(), String::new())].into());
    let external = fixture::service("web", &json!({ "type": "ExternalName", "externalName": "example.com" }));
    let headless = fixture::service("web", &spec(&json!({ "clusterIP": "None" })));
    let mut model = new();
    settle(&mut model, [put_slice(slice_on("s", "web", "here", &json!({}))), put(plain())]);
    let before = model.services().clone();
    for (other, reason) in [
        (labelled, SkipReason::OtherProxy),
        (external, SkipReason::ExternalName),
        (headless, SkipReason::Headless),
    ] {
        assert_eq!(settle(&mut model, [put(other)]).1, "web");
        assert!(model.services().is_empty());
        assert_eq!(model.skipped().iter().map(|skipped| skipped.reason).collect::<Vec<_>>(), [reason]);
        assert_eq!(settle(&mut model, [put(plain())]).1, "web");
        assert_eq!(*model.services(), before);
        assert!(model.skipped().is_empty());
    }

    let mut slice = slice_on("s", "web", "here", &json!({}));
    slice.metadata.labels.as_mut().unwrap().insert("service.kubernetes.io/headless".into(), String::new());
    assert_eq!(settle(&mut model, [put_slice(slice)]).1, "web");
    assert!(model.services().values().all(|service| service.backends.is_empty()));
    assert_eq!(settle(&mut model, [put_slice(slice_on("s", "web", "here", &json!({})))]).1, "web");
    assert_eq!(*model.services(), before);
}

#[test]
fn health_checks_and_ports_without_local_endpoints_are_counted() {
    let local = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
        "healthCheckNodePort": 30_100, "ports": [{ "port": 80, "nodePort": 30_080 }, { "name": "b", "port": 81 }],
        "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
    });
    let mut model = new();
    settle(&mut model, [put(fixture::service("web", &spec(&local)))]);
    let web = key("default", "web");
    let check = |v4| HealthCheck { port: 30_100, v4: Some(v4), v6: Some(0) };
    assert_eq!(model.health_checks().get(&web), Some(&check(0)));
    assert_eq!(model.no_local_endpoints(), NoLocal::default(), "without endpoints it refuses");

    settle(&mut model, [put_slice(slice_on("s", "web", "there", &json!({})))]);
    let one = PerFamily { v4: 1, v6: 0 };
    assert_eq!(model.no_local_endpoints(), NoLocal { internal: one, external: one });
    assert_eq!(model.health_checks().get(&web), Some(&check(0)));

    settle(&mut model, [put_slice(slice_on("s", "web", "here", &json!({})))]);
    assert_eq!(model.no_local_endpoints(), NoLocal::default());
    assert_eq!(model.health_checks().get(&web), Some(&check(1)));

    settle(&mut model, [put_slice(slice_on("s", "web", "there", &json!({})))]);
    settle(&mut model, [put(fixture::service("web", &spec(&json!({}))))]);
    assert!(model.health_checks().is_empty());
    assert_eq!(model.no_local_endpoints(), NoLocal::default());
}

#[test]
fn ranges_of_services_are_those_of_all_objects() {
    let cidr = |name: &str, cidrs: &Value| -> Change {
        let object: ServiceCIDR =
            fixture::from_json(json!({ "metadata": { "name": name }, "spec": { "cidrs": cidrs } }));
        Change::ServiceCidr(key("", name), Some(Arc::new(object)))
    };
    let shown =
        |model: &Model| model.service_cidrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut model = new();
    let (delta, _) = settle(&mut model, [cidr("a", &json!(["10.96.0.0/16", "fd00::/112", "x"]))]);
    assert_eq!((shown(&model).as_str(), delta.cidrs_changed), ("10.96.0.0/16 fd00::/112", true));
    assert_eq!(
        delta.notices[0].to_string(),
        "ServiceCIDR a: spec.cidrs[2]: \"x\" is not a range of addresses: ignored"
    );
    let (delta, _) = settle(&mut model, [cidr("b", &json!(["10.96.0.0/16"]))]);
    assert!(!delta.cidrs_changed);
    let (delta, _) = settle(&mut model, [Change::ServiceCidr(key("", "a"), None)]);
    assert_eq!((shown(&model).as_str(), delta.cidrs_changed), ("10.96.0.0/16", true));
    assert_eq!(model.notices().count(), 0);
}

#[test]
fn triggers_are_those_of_slices_that_changed() {
    let stamped = |node: &str, time: &str| {
        let mut slice = slice_on("s", "web", node, &json!({}));
        let name = "endpoints.kubernetes.io/last-change-trigger-time".to_owned();
        slice.metadata.annotations = Some([(name, time.to_owned())].into());
        put_slice(slice)
    };
    let (one, two) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let mut model = new();
    let triggers = |model: &mut Model, change| settle(model, [change]).0.triggers;
    assert_eq!(triggers(&mut model, stamped("here", one)), [(Family::V4, one.parse().unwrap())]);
    assert_eq!(triggers(&mut model, stamped("here", two)), [], "the endpoints are as before");
    assert_eq!(triggers(&mut model, stamped("there", two)), [(Family::V4, two.parse().unwrap())]);
    assert_eq!(triggers(&mut model, Change::Slice(key("default", "s"), None)), []);
}

#[test]
fn a_service_is_read_whole() {
    let service: Service = fixture::from_json(json!({
        "metadata": {
            "namespace": "default", "name": "web", "uid": "u", "annotations": { "svclb.io/weights": "10.1.0.1=5" },
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "protocol": "UDP" }],
            "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
        },
        "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } },
    }));
    let settings = Settings { algorithm: crate::model::Algorithm::SourceHash, ..fixture::settings() };
    let mut model = Model::new(settings);
    let mut slice = slice_on("s", "web", "here", &json!({}));
    slice.ports.as_mut().unwrap()[0].protocol = Some("UDP".into());
    settle(
        &mut model,
        [put(service), put_slice(slice), put_node(fixture::node("here", None, &["192.0.2.1"]))],
    );
    let (found, port) = model.services().first_key_value().unwrap();
    assert_eq!((found.protocol, found.family), (Protocol::Udp, Family::V4));
    let policy = &port.policy;
    assert_eq!((policy.internal, policy.external), (TrafficPolicy::Cluster, TrafficPolicy::Local));
    assert_eq!(policy.affinity.map(std::num::NonZeroU32::get), Some(10_800));
    assert_eq!(policy.algorithm, crate::model::Algorithm::SourceHash);
    assert!(policy.has_endpoints && policy.sources.as_ref().unwrap().admits_host);
    assert_eq!((port.backends.len(), port.backends[0].weight), (1, 5));
    assert!(port.backends[0].lists.cluster && port.backends[0].lists.local);
    assert_eq!(model.uid(&key("default", "web")), Some("u"));
}
