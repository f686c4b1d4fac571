//! One row per rule of the EndpointSlice contract.

use k8s_openapi::api::discovery::v1::EndpointSlice;
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
        ("serving alone is not enough for new flows", vec![state(1, SERVING)], vec![]),
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

/// The backends of `endpoints` under both policies Local as `LAST-OCTET:LISTS`, lists as `c`, `l`, `cl` or `-`, and
/// whether there are endpoints at all.
fn lists_of(endpoints: &[Value], uses: Uses, zone: Option<&str>) -> (String, bool) {
    let facts = SliceFacts::of(&slice("s", &json!(endpoints))).unwrap();
    let slices = [&facts];
    let place = Place { node: "here", zone };
    let merged = merged(&slices, Family::V4, ("http", Protocol::Tcp), place);
    let known = categorize(&merged, place, uses, &BTreeMap::new());
    let line = |backend: &Backend| {
        let lists = match (backend.lists.cluster, backend.lists.local) {
            (true, true) => "cl",
            (true, false) => "c",
            (false, true) => "l",
            (false, false) => "-",
        };
        let address = backend.address.to_string();
        format!("{}:{lists}", address.rsplit('.').next().unwrap())
    };
    (known.backends.iter().map(line).collect::<Vec<_>>().join(" "), known.has_endpoints)
}

const BOTH: Uses = Uses { cluster: true, local: true };

fn on(node: &str, mut endpoint: Value) -> Value {
    endpoint["nodeName"] = json!(node);
    endpoint
}

#[test]
fn each_list_falls_back_by_itself_and_what_serves_is_kept() {
    let (here, there) = ("here", "there");
    let table = [
        ("both ready", READY, READY, "1:cl 2:c", true),
        ("local one terminates: local falls back alone", SERVING_TERMINATING, READY, "1:l 2:c", true),
        ("remote one terminates", READY, SERVING_TERMINATING, "1:cl 2:-", true),
        ("both terminate", SERVING_TERMINATING, SERVING_TERMINATING, "1:cl 2:c", true),
        ("no local one", DEAD, READY, "2:c", true),
        ("local one serves only", SERVING, READY, "1:- 2:c", true),
        ("a remote one never rescues local", TERMINATING, SERVING_TERMINATING, "2:c", true),
        ("published although terminating", READY_TERMINATING, READY, "1:cl 2:c", true),
        ("nothing but serving", SERVING, SERVING, "1:- 2:-", false),
        ("nothing", DEAD, TERMINATING, "", false),
    ];
    for (case, local, remote, lists, has_endpoints) in table {
        let endpoints = [on(here, state(1, local)), on(there, state(2, remote))];
        assert_eq!(lists_of(&endpoints, BOTH, None), (lists.to_owned(), has_endpoints), "{case}");
    }
}

#[test]
fn a_list_that_nobody_uses_is_empty() {
    let endpoints = [on("here", state(1, READY)), on("there", state(2, READY))];
    let uses = |cluster, local| lists_of(&endpoints, Uses { cluster, local }, None).0;
    assert_eq!(uses(true, false), "1:c 2:c");
    assert_eq!(uses(false, true), "1:l 2:-");
}

/// An endpoint with hints: zones, then nodes.
fn hinted(host: u8, node: &str, of: (bool, bool, bool), zones: &[&str], nodes: &[&str]) -> Value {
    let names = |names: &[&str]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
    let mut endpoint = on(node, state(host, of));
    endpoint["hints"] = json!({ "forZones": names(zones), "forNodes": names(nodes) });
    endpoint
}

#[test]
fn hints_choose_among_the_ready_endpoints_of_the_cluster_list() {
    let (a, b, ab, none): (&[_], &[_], &[_], &[&str]) = (&["a"], &["b"], &["a", "b"], &[]);
    let (here, there): (&[_], &[_]) = (&["here"], &["there"]);
    let pair = |first: (&[&str], &[&str]), second: (&[&str], &[&str])| {
        [hinted(1, "here", READY, first.0, first.1), hinted(2, "there", READY, second.0, second.1)]
    };
    let (zone_a, no_zone) = (Some("a"), None);
    let table = [
        ("by zone", pair((a, none), (b, none)), zone_a, "1:cl 2:-"),
        ("the hint counts, not where the endpoint is", pair((b, none), (a, none)), zone_a, "1:l 2:c"),
        ("several zones", pair((ab, none), (a, none)), zone_a, "1:cl 2:c"),
        ("no hint for this zone", pair((b, none), (b, none)), zone_a, "1:cl 2:c"),
        ("one without hints", pair((a, none), (none, none)), zone_a, "1:cl 2:c"),
        ("a node without a zone", pair((a, none), (b, none)), no_zone, "1:cl 2:c"),
        ("by node before zone", pair((a, there), (a, here)), zone_a, "1:l 2:c"),
        ("no hint for this node: by zone", pair((b, there), (a, there)), zone_a, "1:l 2:c"),
        ("one without a node: by zone", pair((b, here), (a, none)), zone_a, "1:l 2:c"),
        ("by node, without a zone", pair((a, there), (b, here)), no_zone, "1:l 2:c"),
    ];
    for (case, endpoints, zone, lists) in table {
        assert_eq!(lists_of(&endpoints, BOTH, zone).0, lists, "{case}");
    }
    let beside = |of| [hinted(1, "here", READY, a, none), hinted(2, "there", of, none, none)];
    assert_eq!(
        lists_of(&beside(SERVING_TERMINATING), BOTH, zone_a).0,
        "1:cl 2:-",
        "only ready ones must be hinted"
    );
    let draining =
        [hinted(1, "here", SERVING_TERMINATING, b, there), hinted(2, "there", SERVING_TERMINATING, a, here)];
    assert_eq!(lists_of(&draining, BOTH, zone_a).0, "1:cl 2:c", "the fallback has no topology");
}

#[test]
fn local_ready_endpoints_are_counted_by_address() {
    let ports = json!([{ "name": "http", "port": 8080 }, { "name": "admin", "port": 9090 }]);
    let endpoints = json!([
        on("here", state(1, READY)),
        on("here", state(2, READY_TERMINATING)),
        on("there", state(3, READY)),
        on("here", state(4, SERVING_TERMINATING)),
        on("here", state(5, DEAD)),
    ]);
    let of = |name, ports: &Value| {
        SliceFacts::of(&fixture::slice(name, "web", "IPv4", ports, &endpoints)).unwrap()
    };
    let (a, b) = (of("a", &ports), of("b", &json!([{ "name": "other", "port": 1 }])));
    let (none, place) = (of("c", &json!([])), Place { node: "here", zone: None });
    assert_eq!(ready_here(&[&a, &b], Family::V4, place), 2);
    assert_eq!(ready_here(&[&a, &b], Family::V6, place), 0);
    assert_eq!(ready_here(&[&none], Family::V4, place), 0);
}

#[test]
fn weights_are_those_of_the_addresses() {
    let facts = SliceFacts::of(&slice("s", &json!([state(1, READY), state(2, READY)]))).unwrap();
    let place = Place { node: "here", zone: None };
    let slices = [&facts];
    let merged = merged(&slices, Family::V4, ("http", Protocol::Tcp), place);
    let weights = BTreeMap::from([("10.1.0.2".parse().unwrap(), 7)]);
    let weights: Vec<_> =
        categorize(&merged, place, BOTH, &weights).backends.iter().map(|backend| backend.weight).collect();
    assert_eq!(weights, [1, 7]);
}
