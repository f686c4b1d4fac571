//! One row per rule of the EndpointSlice contract.

use serde_json::{Value, json};

use super::*;
use crate::model::fixture;

/// The backends of the port `http` (TCP, IPv4) of `default/web`, seen from the node `here`.
fn backends_of(slices: Vec<EndpointSlice>) -> Vec<String> {
    let service = fixture::service(
        "web",
        &json!({ "clusterIP": "10.0.0.1", "ports": [{ "name": "http", "port": 80, "targetPort": 9 }] }),
    );
    fixture::backends(&fixture::snapshot(vec![service], slices))
}

fn slice(name: &str, endpoints: &Value) -> EndpointSlice {
    fixture::slice(name, "web", "IPv4", &json!([{ "name": "http", "port": 8080 }]), endpoints)
}

/// An endpoint at 10.1.0.`host`.
fn endpoint(host: u8, conditions: &Value) -> Value {
    json!({ "addresses": [format!("10.1.0.{host}")], "conditions": conditions })
}

const READY: (bool, bool, bool) = (true, true, false);
const READY_TERMINATING: (bool, bool, bool) = (true, true, true);
const SERVING_TERMINATING: (bool, bool, bool) = (false, true, true);
const SERVING: (bool, bool, bool) = (false, true, false);
const TERMINATING: (bool, bool, bool) = (false, false, true);
const DEAD: (bool, bool, bool) = (false, false, false);

fn state(host: u8, (ready, serving, terminating): (bool, bool, bool)) -> Value {
    endpoint(host, &json!({ "ready": ready, "serving": serving, "terminating": terminating }))
}

#[test]
fn conditions_decide_what_is_used() {
    let (one, two) = ("10.1.0.1:8080", "10.1.0.2:8080");
    let table: [(&str, Vec<Value>, Vec<String>); 13] = [
        ("no endpoint", vec![], vec![]),
        ("ready", vec![state(1, READY)], vec![format!("{one} active")]),
        ("no conditions", vec![json!({ "addresses": ["10.1.0.1"] })], vec![format!("{one} active")]),
        ("ready unset is ready", vec![endpoint(1, &json!({}))], vec![format!("{one} active")]),
        ("ready and terminating is ready", vec![state(1, READY_TERMINATING)], vec![format!("{one} active")]),
        ("not ready", vec![state(1, DEAD)], vec![]),
        ("serving alone is not enough", vec![state(1, SERVING)], vec![]),
        ("terminating alone is not enough", vec![state(1, TERMINATING)], vec![]),
        (
            "serving and terminating, in need",
            vec![state(1, SERVING_TERMINATING)],
            vec![format!("{one} terminating")],
        ),
        (
            "serving unset is serving",
            vec![endpoint(1, &json!({ "ready": false, "terminating": true }))],
            vec![format!("{one} terminating")],
        ),
        (
            "terminating unset is not terminating",
            vec![endpoint(1, &json!({ "ready": false, "serving": true }))],
            vec![],
        ),
        (
            "no fallback beside a ready one",
            vec![state(1, SERVING_TERMINATING), state(2, READY)],
            vec![format!("{two} active")],
        ),
        (
            "the fallback takes all that serve",
            vec![state(1, SERVING_TERMINATING), state(2, SERVING_TERMINATING), state(3, DEAD)],
            vec![format!("{one} terminating"), format!("{two} terminating")],
        ),
    ];
    for (case, endpoints, expected) in table {
        assert_eq!(backends_of(vec![slice("s", &json!(endpoints))]), expected, "{case}");
    }
}

#[test]
fn of_two_entries_with_one_address_the_living_one_counts() {
    let table = [
        ("both ready", READY, READY, "10.1.0.1:8080 active"),
        ("reused by a ready pod", SERVING_TERMINATING, READY, "10.1.0.1:8080 active"),
        ("published although terminating", READY_TERMINATING, READY, "10.1.0.1:8080 active"),
        ("both terminating, one serves", SERVING_TERMINATING, TERMINATING, "10.1.0.1:8080 terminating"),
        ("the living one is not ready", READY_TERMINATING, DEAD, ""),
    ];
    for (case, a, b, expected) in table {
        for (a, b) in [(a, b), (b, a)] {
            let slices = vec![slice("a", &json!([state(1, a)])), slice("b", &json!([state(1, b)]))];
            assert_eq!(backends_of(slices).join(" "), expected, "{case}");
            assert_eq!(backends_of(vec![slice("a", &json!([state(1, a), state(1, b)]))]).join(" "), expected);
        }
    }
}

#[test]
fn slices_of_one_service_are_merged_and_sorted() {
    let other_port = fixture::slice(
        "c",
        "web",
        "IPv4",
        &json!([{ "name": "http", "port": 9090 }]),
        &json!([state(1, READY)]),
    );
    let slices = vec![
        slice("b", &json!([state(10, READY), state(2, READY)])),
        slice("a", &json!([state(9, READY)])),
        other_port,
    ];
    let expected =
        ["10.1.0.1:9090 active", "10.1.0.2:8080 active", "10.1.0.9:8080 active", "10.1.0.10:8080 active"];
    assert_eq!(backends_of(slices), expected);
}

#[test]
fn a_slice_port_matches_by_name_and_protocol() {
    let table = [
        ("name and protocol", json!([{ "name": "http", "port": 1, "protocol": "TCP" }]), "10.1.0.1:1 active"),
        ("no protocol is TCP", json!([{ "name": "http", "port": 1 }]), "10.1.0.1:1 active"),
        ("other protocol", json!([{ "name": "http", "port": 1, "protocol": "UDP" }]), ""),
        ("other name, same number", json!([{ "name": "https", "port": 80 }]), ""),
        ("no name", json!([{ "port": 1 }]), ""),
        ("empty name", json!([{ "name": "", "port": 1 }]), ""),
        ("no number", json!([{ "name": "http" }]), ""),
        ("number 0", json!([{ "name": "http", "port": 0 }]), ""),
        ("number too large", json!([{ "name": "http", "port": 65536 }]), ""),
        (
            "the right one of several",
            json!([{ "name": "admin", "port": 1 }, { "name": "http", "port": 2 }]),
            "10.1.0.1:2 active",
        ),
        ("no ports", Value::Null, ""),
    ];
    for (case, ports, expected) in table {
        let slice = fixture::slice("s", "web", "IPv4", &ports, &json!([state(1, READY)]));
        assert_eq!(backends_of(vec![slice]).join(" "), expected, "{case}");
    }
}

#[test]
fn an_unnamed_service_port_matches_the_empty_name() {
    let service = fixture::service("web", &json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80 }] }));
    let table = [(json!([{ "name": "", "port": 1 }]), 1), (json!([{ "port": 1 }]), 0)];
    for (ports, expected) in table {
        let slice = fixture::slice("s", "web", "IPv4", &ports, &json!([state(1, READY)]));
        let snapshot = fixture::snapshot(vec![service.clone()], vec![slice]);
        assert_eq!(snapshot.backends(), expected, "{ports}");
    }
}

#[test]
fn only_slices_of_the_service_and_the_family_count() {
    let label = |labels: &Value| -> EndpointSlice {
        let mut slice = slice("s", &json!([state(1, READY)]));
        slice.metadata.labels = serde_json::from_value(labels.clone()).unwrap();
        slice
    };
    let of_type = |address_type: &str, address: &str| {
        let ports = json!([{ "name": "http", "port": 8080 }]);
        fixture::slice("s", "web", address_type, &ports, &json!([{ "addresses": [address] }]))
    };
    let mut elsewhere = slice("s", &json!([state(1, READY)]));
    elsewhere.metadata.namespace = Some("other".into());
    let name = "kubernetes.io/service-name";
    let table = [
        ("labelled", label(&json!({ name: "web" })), 1),
        ("of another Service", label(&json!({ name: "api" })), 0),
        ("empty label", label(&json!({ name: "" })), 0),
        ("no label", label(&json!({})), 0),
        ("no labels", label(&Value::Null), 0),
        ("headless", label(&json!({ name: "web", "service.kubernetes.io/headless": "" })), 0),
        (
            "the proxy label is for Services",
            label(&json!({ name: "web", "service.kubernetes.io/service-proxy-name": "x" })),
            1,
        ),
        ("of another namespace", elsewhere, 0),
        ("IPv6", of_type("IPv6", "fd00::1"), 0),
        ("FQDN", of_type("FQDN", "web.example.com"), 0),
        ("IPv4 in name only", of_type("IPv4", "fd00::1"), 0),
        ("leading zeros", of_type("IPv4", "010.001.000.001"), 1),
        ("not an address", of_type("IPv4", "10.1.0"), 0),
    ];
    for (case, slice, expected) in table {
        assert_eq!(backends_of(vec![slice]).len(), expected, "{case}");
    }
}

#[test]
fn only_the_first_address_is_used_and_local_means_exactly_this_node() {
    let on = |node: &Value| json!({ "addresses": ["10.1.0.1", "10.1.0.2"], "nodeName": node });
    let table = [
        (json!("here"), "10.1.0.1:8080 active local"),
        (json!("Here"), "10.1.0.1:8080 active"),
        (json!("here.example.com"), "10.1.0.1:8080 active"),
        (json!(""), "10.1.0.1:8080 active"),
        (Value::Null, "10.1.0.1:8080 active"),
    ];
    for (node, expected) in table {
        assert_eq!(backends_of(vec![slice("s", &json!([on(&node)]))]), [expected], "{node}");
    }
    assert!(backends_of(vec![slice("s", &json!([{ "addresses": [] }]))]).is_empty());
}

#[test]
fn what_cannot_be_used_is_named() {
    let ports = json!([
        { "port": 1 }, { "name": "a", "port": 0 }, { "name": "b", "port": 1, "protocol": "tcp" },
        { "name": "c", "port": 1 },
    ]);
    let endpoints = json!([{ "addresses": ["10.1.0.1"] }, { "addresses": [] }, { "addresses": ["fd00::1"] }]);
    let fields = |address_type: &str| -> Vec<String> {
        let slice = fixture::slice("s", "web", address_type, &ports, &endpoints);
        notices(&slice).into_iter().map(|notice| notice.field).collect()
    };
    let expected = [
        "ports[0].name",
        "ports[1].port",
        "ports[2].protocol",
        "endpoints[1].addresses",
        "endpoints[2].addresses",
    ];
    assert_eq!(fields("IPv4"), expected);
    assert!(fields("FQDN").is_empty());
}
