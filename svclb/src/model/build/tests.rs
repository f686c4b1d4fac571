//! Whole Services, and what must hold for any set of objects.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use proptest::{prelude::*, sample::subsequence};
use serde_json::{Value, json};

use super::*;
use crate::model::{Family, SkipReason, Skipped, fixture, slice::SliceFacts};

fn frontends_of(spec: &Value, status: &Value) -> Vec<String> {
    let service: Service = fixture::from_json(json!({
        "metadata": { "namespace": "default", "name": "web" }, "spec": spec, "status": status,
    }));
    let of_key = |line: String| line.trim_start_matches("default/web").to_owned();
    fixture::frontends(&fixture::snapshot(vec![service], vec![])).into_iter().map(of_key).collect()
}

#[test]
fn a_service_answers_on_every_address_it_is_given() {
    let spec = json!({
        "type": "LoadBalancer", "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
        "externalIPs": ["192.0.2.1", "2001:db8::1", "bad"],
        "ports": [
            { "name": "http", "port": 80, "nodePort": 30080 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ],
    });
    let ingress = json!([
        { "ip": "198.51.100.1" }, { "ip": "198.51.100.2", "ipMode": "Proxy" }, { "hostname": "lb.example.com" },
    ]);
    let expected = [
        ":dns/UDP (IPv4) ClusterIP 10.0.0.1:53",
        ":dns/UDP (IPv4) LoadBalancer 198.51.100.1:53",
        ":dns/UDP (IPv4) ExternalIP 192.0.2.1:53",
        ":dns/UDP (IPv6) ClusterIP [fd00::1]:53",
        ":dns/UDP (IPv6) ExternalIP [2001:db8::1]:53",
        ":http/TCP (IPv4) ClusterIP 10.0.0.1:80",
        ":http/TCP (IPv4) NodePort *:30080",
        ":http/TCP (IPv4) LoadBalancer 198.51.100.1:80",
        ":http/TCP (IPv4) ExternalIP 192.0.2.1:80",
        ":http/TCP (IPv6) ClusterIP [fd00::1]:80",
        ":http/TCP (IPv6) NodePort *:30080",
        ":http/TCP (IPv6) ExternalIP [2001:db8::1]:80",
    ];
    let frontends = frontends_of(&spec, &json!({ "loadBalancer": { "ingress": ingress } }));
    assert_eq!(frontends, expected);
}

#[test]
fn each_port_is_judged_by_itself() {
    let table: [(&str, Value, &[&str]); 8] = [
        ("unnamed", json!([{ "port": 80 }]), &["/TCP (IPv4) ClusterIP 10.0.0.1:80"]),
        (
            "TCP and UDP on one number",
            json!([{ "name": "a", "port": 53 }, { "name": "b", "port": 53, "protocol": "UDP" }]),
            &[":a/TCP (IPv4) ClusterIP 10.0.0.1:53", ":b/UDP (IPv4) ClusterIP 10.0.0.1:53"],
        ),
        ("nodePort 0", json!([{ "port": 80, "nodePort": 0 }]), &["/TCP (IPv4) ClusterIP 10.0.0.1:80"]),
        ("SCTP", json!([{ "port": 80, "protocol": "SCTP" }]), &["/SCTP (IPv4) ClusterIP 10.0.0.1:80"]),
        ("unknown protocol", json!([{ "port": 80, "protocol": "tcp" }]), &[]),
        ("port 0", json!([{ "port": 0 }]), &[]),
        ("port too large", json!([{ "port": 65536 }]), &[]),
        (
            "the same name twice",
            json!([{ "name": "a", "port": 1 }, { "name": "a", "port": 2 }]),
            &[":a/TCP (IPv4) ClusterIP 10.0.0.1:1"],
        ),
    ];
    for (case, ports, expected) in table {
        let spec = json!({ "clusterIP": "10.0.0.1", "ports": ports });
        assert_eq!(frontends_of(&spec, &Value::Null), expected, "{case}");
    }
}

#[test]
fn ports_that_are_left_out_are_named() {
    let table = [
        (json!([{ "port": 80, "protocol": "tcp" }]), "spec.ports[0].protocol"),
        (json!([{ "port": 0 }]), "spec.ports[0].port"),
        (json!([{ "port": 80, "nodePort": -1 }]), "spec.ports[0].nodePort"),
        (json!([{ "port": 1 }, { "port": 2 }]), "spec.ports[1].name"),
    ];
    for (ports, field) in table {
        let service = fixture::service("web", &json!({ "clusterIP": "10.0.0.1", "ports": ports }));
        let snapshot = fixture::snapshot(vec![service], vec![]);
        assert_eq!(fixture::notices(&snapshot), [format!("Service default/web {field}")]);
    }
}

#[test]
fn a_service_without_endpoints_stays_so_that_clients_are_refused() {
    let service = fixture::service("web", &json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80 }] }));
    let snapshot = fixture::snapshot(vec![service], vec![]);
    assert_eq!((snapshot.frontends(), snapshot.backends()), (1, 0));
}

#[test]
fn families_have_backends_of_their_own() {
    let spec = json!({
        "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
        "ports": [{ "port": 80 }],
    });
    let ports = json!([{ "name": "", "port": 8080 }]);
    let slices = vec![
        fixture::slice("a", "web", "IPv4", &ports, &json!([{ "addresses": ["10.1.0.1"] }])),
        fixture::slice("b", "web", "IPv6", &ports, &json!([{ "addresses": ["fd01::1"] }])),
    ];
    let snapshot = fixture::snapshot(vec![fixture::service("web", &spec)], slices);
    let backends: Vec<_> = snapshot
        .services
        .iter()
        .map(|(key, service)| (key.family, service.backends.iter().map(|b| b.address.to_string()).collect()))
        .collect::<Vec<(Family, Vec<String>)>>();
    let expected = [(Family::V4, vec!["10.1.0.1".to_owned()]), (Family::V6, vec!["fd01::1".to_owned()])];
    assert_eq!(backends, expected);
}

#[test]
fn a_service_that_stops_being_proxied_leaves_nothing_but_the_reason() {
    let proxied = json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "nodePort": 30080 }] });
    let external =
        json!({ "type": "ExternalName", "externalName": "example.com", "ports": [{ "port": 80 }] });
    let mut objects = Objects::default();
    let settings = Settings::default();
    objects.apply_service(fixture::service("web", &proxied));
    let before = build(&objects, &settings);
    objects.apply_service(fixture::service("web", &external));
    let skipped =
        Skipped { namespace: "default".into(), name: "web".into(), reason: SkipReason::ExternalName };
    assert_eq!(build(&objects, &settings), Snapshot { skipped: vec![skipped], ..Snapshot::default() });
    objects.apply_service(fixture::service("web", &proxied));
    assert_eq!(build(&objects, &settings), before);
}

/// Services out of pools so small that they collide in every field that matters.
fn any_service() -> impl Strategy<Value = Service> {
    let port = (0..3_usize, 80..82_i32, 0..3_usize, 0..2_i32).prop_map(|(name, port, protocol, node)| {
        let (name, protocol) = (["", "a", "b"][name], [None, Some("UDP"), Some("SCTP")][protocol]);
        json!({
            "name": name, "port": port, "protocol": protocol, "nodePort": node * (port + 30000),
        })
    });
    let addresses = vec!["192.0.2.1", "192.0.2.2", "2001:db8::1", "bad"];
    (0..4_usize, 0..3_usize, 0..5_usize, prop::collection::vec(port, 0..3), subsequence(addresses, 0..4))
        .prop_map(|(name, created, ip, ports, external)| {
            let ip = ["10.0.0.1", "10.0.0.2", "fd00::1", "None", ""][ip];
            let created = [None, Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z")][created];
            let name = format!("s{name}");
            fixture::from_json(json!({
                "metadata": { "namespace": "default", "name": name, "creationTimestamp": created },
                "spec": { "clusterIP": ip, "ports": ports, "externalIPs": external },
            }))
        })
}

fn any_slice() -> impl Strategy<Value = EndpointSlice> {
    let condition = prop::option::of(any::<bool>());
    let endpoint = (1..4_u8, condition.clone(), condition.clone(), condition, 0..3_usize).prop_map(
        |(host, ready, serving, terminating, node)| {
            let node = [None, Some("here"), Some("there")][node];
            json!({
                "addresses": [format!("10.1.0.{host}")], "nodeName": node,
                "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
            })
        },
    );
    (0..4_usize, 0..4_usize, 0..3_usize, prop::collection::vec(endpoint, 0..5)).prop_map(
        |(name, owner, port, endpoints)| {
            let name_of_port = ["", "a", "b"][port];
            let ports = json!([{ "name": name_of_port, "port": 8080 }]);
            fixture::slice(&format!("e{name}"), &format!("s{owner}"), "IPv4", &ports, &json!(endpoints))
        },
    )
}

proptest! {
    #[test]
    fn order_and_history_leave_no_trace(
        services in prop::collection::vec(any_service(), 0..6),
        slices in prop::collection::vec(any_slice(), 0..6),
        stale in prop::collection::vec(any_service(), 0..6),
    ) {
        let services: BTreeMap<_, _> = services.into_iter().map(|s| (s.metadata.name.clone(), s)).collect();
        let slices: BTreeMap<_, _> = slices.into_iter().map(|s| (s.metadata.name.clone(), s)).collect();
        let settings = fixture::settings();

        let forward = fixture::objects(services.values().cloned(), slices.values().cloned());
        let mut backward = fixture::objects(stale.clone(), slices.values().rev().cloned());
        for service in &stale {
            backward.delete_service(&ObjectKey::of(&service.metadata));
        }
        for service in services.values().rev() {
            backward.apply_service(service.clone());
        }

        let snapshot = build(&forward, &settings);
        prop_assert_eq!(&snapshot, &build(&backward, &settings));
        prop_assert_eq!(&snapshot, &build(&forward, &settings));
    }

    #[test]
    fn endpoints_count_the_same_in_whatever_slice_they_stand(
        slice in any_slice(), rotation in 0..5_usize, cut in 0..5_usize,
    ) {
        let spec = json!({
            "clusterIP": "10.0.0.1",
            "ports": [{ "port": 80 }, { "name": "a", "port": 81 }, { "name": "b", "port": 82 }],
        });
        let service = |slice: &EndpointSlice| fixture::service(&SliceFacts::of(slice).unwrap().owner.name, &spec);
        let whole = fixture::snapshot(vec![service(&slice)], vec![slice.clone()]);

        let (mut head, mut tail) = (slice.clone(), slice.clone());
        let mut endpoints = slice.endpoints.clone();
        endpoints.rotate_left(rotation.min(slice.endpoints.len()));
        tail.endpoints = endpoints.split_off(cut.min(endpoints.len()));
        head.endpoints = endpoints;
        tail.metadata.name = Some("tail".into());
        let parts = fixture::snapshot(vec![service(&slice)], vec![head, tail]);
        prop_assert_eq!(whole.services, parts.services);
    }

    #[test]
    fn nobody_shares_an_address_and_backends_are_sorted(
        services in prop::collection::vec(any_service(), 0..6),
        slices in prop::collection::vec(any_slice(), 0..6),
    ) {
        let snapshot = fixture::snapshot(services, slices);
        let mut claims = BTreeSet::new();
        for (key, service) in &snapshot.services {
            for frontend in &service.frontends {
                let claim = (key.family, frontend.address, frontend.port, key.protocol);
                prop_assert!(claims.insert(claim), "{key} {frontend}");
            }
            let places: Vec<_> = service.backends.iter().map(|backend| (backend.address, backend.port)).collect();
            prop_assert!(places.is_sorted_by(|a, b| a < b));
        }
        prop_assert!(snapshot.notices.is_sorted_by(|a, b| a < b));
        prop_assert!(snapshot.skipped.is_sorted());
    }
}
