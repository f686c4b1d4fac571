//! What is read of a slice and what is told of it.

use serde_json::json;

use super::*;
use crate::model::fixture;

#[test]
fn what_cannot_be_used_is_named() {
    let ports = json!([
        { "port": 1 }, { "name": "a", "port": 0 }, { "name": "b", "port": 1, "protocol": "tcp" },
        { "name": "c", "port": 1 },
    ]);
    let endpoints = json!([{ "addresses": ["10.1.0.1"] }, { "addresses": [] }, { "addresses": ["fd00::1"] },
        { "addresses": ["10.1.0.2"], "nodeName": "a\nb" }]);
    let fields = |address_type: &str| -> Vec<String> {
        let slice = fixture::slice("s", "web", address_type, &ports, &endpoints);
        let facts = SliceFacts::of(&slice);
        facts.into_iter().flat_map(|facts| facts.notices).map(|notice| notice.field).collect()
    };
    let expected = [
        "ports[0].name",
        "ports[1].port",
        "ports[2].protocol",
        "endpoints[1].addresses",
        "endpoints[2].addresses",
        "endpoints[3].nodeName",
    ];
    assert_eq!(fields("IPv4"), expected);
    assert!(fields("FQDN").is_empty());
}

#[test]
fn conditions_and_hints_have_the_defaults_of_the_api() {
    let endpoints = json!([
        { "addresses": ["10.1.0.1"] },
        {
            "addresses": ["10.1.0.2"], "nodeName": "here",
            "conditions": { "ready": false, "serving": false, "terminating": true },
            "hints": { "forZones": [{ "name": "a" }, { "name": "b" }], "forNodes": [{ "name": "here" }] },
        },
    ]);
    let slice = fixture::slice("s", "web", "IPv4", &json!([{ "name": "", "port": 80 }]), &endpoints);
    let facts = SliceFacts::of(&slice).unwrap();
    let plain = Endpoint {
        address: "10.1.0.1".parse().unwrap(),
        node: None,
        ready: true,
        serving: true,
        terminating: false,
        hints: None,
    };
    let stated = Endpoint {
        address: "10.1.0.2".parse().unwrap(),
        node: Some("here".into()),
        ready: false,
        serving: false,
        terminating: true,
        hints: Some(Hints { zones: ["a".into(), "b".into()].into(), nodes: ["here".into()].into() }.into()),
    };
    assert_eq!(facts.endpoints[..], [plain, stated]);
    assert!(facts.has_zone_hints() && facts.notices.is_empty());
}

#[test]
fn a_slice_says_when_its_change_began() {
    let mut slice = fixture::slice("s", "web", "IPv4", &json!([]), &json!([]));
    let mut told = |time: Option<&str>| {
        let annotations = time.map(|time| [(ANNOTATION_TRIGGER.to_owned(), time.to_owned())].into());
        slice.metadata.annotations = annotations;
        trigger(&slice)
    };
    let time = "2026-01-02T03:04:05.000000006Z";
    assert_eq!(told(Some(time)), Some(time.parse().unwrap()));
    assert_eq!(told(Some("yesterday")), None);
    assert_eq!(told(None), None);
}
