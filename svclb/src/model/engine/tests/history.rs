//! Any history of changes leads where its last objects lead, and tells exactly what was different on the way.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// What one object may be next: anything of a small world, or gone.
fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..4_usize, prop::option::weighted(0.8, any_service())).prop_map(|(name, service)| {
            let key = key("default", &format!("s{name}"));
            let service = service.map(|mut service| {
                service.metadata.name = Some(key.name.as_ref().into());
                Arc::new(service)
            });
            Change::Service(key, service)
        }),
        8 => (0..5_usize, prop::option::weighted(0.8, any_slice())).prop_map(|(name, slice)| {
            let key = key("default", &format!("e{name}"));
            let slice = slice.map(|mut slice| {
                slice.metadata.name = Some(key.name.as_ref().into());
                Arc::new(slice)
            });
            Change::Slice(key, slice)
        }),
        2 => (select(vec!["here", "there"]), prop::option::weighted(0.8, any_node())).prop_map(|(name, node)| {
            Change::Node(key("", name), node.map(|(zone, addresses)| {
                Arc::new(fixture::node(name, zone, &addresses))
            }))
        }),
        1 => (0..2_usize, prop::option::weighted(0.8, select(vec!["10.0.0.0/16", "fd00::/112", "bad"])))
            .prop_map(|(name, cidr)| {
                let name = format!("c{name}");
                let object = cidr.map(|cidr| Arc::new(fixture::from_json(
                    json!({ "metadata": { "name": name }, "spec": { "cidrs": [cidr] } }),
                )));
                Change::ServiceCidr(key("", &name), object)
            }),
    ]
}

fn any_node() -> impl Strategy<Value = (Option<&'static str>, Vec<&'static str>)> {
    let addresses = vec![vec![], vec!["192.0.2.1"], vec!["198.51.100.1", "2001:db8::1"]];
    (select(vec![None, Some("a"), Some("b")]), select(addresses))
}

/// One of the words, as the value of a field; `null` is a field that is not set.
fn word(words: &'static str) -> impl Strategy<Value = Value> {
    let words: Vec<_> =
        words.split(' ').map(|word| if word == "null" { Value::Null } else { json!(word) }).collect();
    select(words)
}

fn any_service() -> impl Strategy<Value = Service> {
    let port = (word("null a"), 80..82_i32, word("null UDP SCTP"), 0..2_i32).prop_map(|(name, port, protocol, node)| {
        json!({ "name": name, "port": port, "protocol": protocol, "nodePort": node * (port + 30_000) })
    });
    let identity = (
        word("null 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z"),
        word("null u1 u2"),
        prop::bool::weighted(0.1),
        word("null random maglev bad"),
    );
    let addresses = (
        word("10.0.0.1 10.0.0.2 None"),
        any::<bool>(),
        vec(word("192.0.2.1 2001:db8::1 bad"), 0..3),
        vec(word("203.0.113.1 2001:db8::2"), 0..3),
    );
    let policies = (
        word("null NodePort LoadBalancer ClusterIP ExternalName"),
        word("null Local"),
        word("null Local"),
        word("null ClientIP"),
        vec(word("192.0.2.0/24 0.0.0.0/0 2001:db8::/32 bad"), 0..3),
    );
    (identity, addresses, policies, vec(port, 0..3)).prop_map(
        |((created, uid, is_foreign, algorithm), (ip, dual, external, ingress), policies, ports)| {
            let (type_, internal, external_policy, affinity, ranges) = policies;
            let labels = is_foreign.then(|| json!({ "service.kubernetes.io/service-proxy-name": "x" }));
            let ingress: Vec<_> = ingress.iter().map(|ip| json!({ "ip": ip })).collect();
            let ips = if dual { json!([ip, "fd00::1"]) } else { json!([ip]) };
            let annotations = (!algorithm.is_null()).then(|| json!({ "svclb.io/algorithm": algorithm }));
            fixture::from_json(json!({
                "metadata": {
                    "namespace": "default", "creationTimestamp": created, "uid": uid, "labels": labels,
                    "annotations": annotations,
                },
                "spec": {
                    "type": type_, "clusterIP": ip, "clusterIPs": ips, "ipFamilies": ["IPv4", "IPv6"],
                    "ports": ports, "externalIPs": external, "internalTrafficPolicy": internal,
                    "externalTrafficPolicy": external_policy, "sessionAffinity": affinity,
                    "loadBalancerSourceRanges": ranges, "healthCheckNodePort": 30_100,
                },
                "status": { "loadBalancer": { "ingress": ingress } },
            }))
        },
    )
}

fn any_slice() -> impl Strategy<Value = EndpointSlice> {
    let condition = || prop::option::of(any::<bool>());
    let hint =
        || select(vec![json!([]), json!([{ "name": "a" }]), json!([{ "name": "here" }, { "name": "b" }])]);
    let endpoint = (
        (1..4_u8, word("null here there"), condition(), condition(), condition(), hint(), hint()),
        any::<bool>(),
    )
        .prop_map(|((host, node, ready, serving, terminating, zones, nodes), v6)| {
            let address = if v6 { format!("fd01::{host}") } else { format!("10.1.0.{host}") };
            json!({
                "addresses": [address], "nodeName": node,
                "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
                "hints": { "forZones": zones, "forNodes": nodes },
            })
        });
    (0..4_usize, word("IPv4 IPv4 IPv6 FQDN"), word("a null UDP"), vec(endpoint, 0..5), prop::bool::weighted(0.1))
        .prop_map(|(owner, family, port, endpoints, headless)| {
            let ports = json!([{ "name": "", "port": 8080, "protocol": if port == "UDP" { port } else { Value::Null } },
                { "name": "a", "port": 8081 }]);
            let family = family.as_str().unwrap();
            let mut slice = fixture::slice("", &format!("s{owner}"), family, &ports, &json!(endpoints));
            if headless {
                let labels = slice.metadata.labels.as_mut().unwrap();
                labels.insert("service.kubernetes.io/headless".into(), String::new());
            }
            slice
        })
}

/// A change by kind and name.
fn place(change: &Change) -> (u8, ObjectKey) {
    match change {
        Change::Service(key, _) => (0, key.clone()),
        Change::Slice(key, _) => (1, key.clone()),
        Change::Node(key, _) => (2, key.clone()),
        Change::ServiceCidr(key, _) => (3, key.clone()),
        Change::Pod(key, _) => (4, key.clone()),
    }
}

/// Everything that a model tells.
fn told(model: &Model) -> impl PartialEq + std::fmt::Debug {
    (
        model.services().clone(),
        model.notices().cloned().collect::<Vec<_>>(),
        model.skipped(),
        model.health_checks().clone(),
        (model.no_local_endpoints(), model.node().clone(), model.service_cidrs().clone()),
    )
}

proptest! {
    #[test]
    fn history_leaves_no_trace(history in vec((any_change(), any::<bool>()), 0..40), forward in any::<bool>()) {
        let mut model = new();
        let mut last = BTreeMap::new();
        for (change, settles) in history {
            model.apply(&change);
            last.insert(place(&change), change);
            if settles {
                let before = model.services().clone();
                let notices: BTreeSet<_> = model.notices().cloned().collect();
                let delta = model.settle();
                let keys = before.keys().chain(model.services().keys());
                let different: BTreeSet<_> =
                    keys.filter(|key| before.get(*key) != model.services().get(*key)).cloned().collect();
                prop_assert_eq!(&delta.services, &different);
                let new: Vec<_> = model.notices().filter(|notice| !notices.contains(*notice)).cloned().collect();
                prop_assert_eq!(&delta.notices, &new);
            }
        }
        model.settle();

        let mut fresh = new();
        let mut changes: Vec<_> = last.into_values().collect();
        if !forward {
            changes.reverse();
        }
        for change in &changes {
            fresh.apply(change);
        }
        fresh.settle();
        prop_assert_eq!(told(&model), told(&fresh));
    }

    #[test]
    fn claims_and_lists_hold_together(history in vec(any_change(), 0..40)) {
        let mut model = new();
        for change in &history {
            model.apply(change);
        }
        model.settle();
        let mut claims = BTreeSet::new();
        for (key, port) in model.services() {
            for frontend in &port.frontends {
                prop_assert!(claims.insert((key.family, frontend.address, frontend.port, key.protocol)));
            }
            let places: Vec<_> = port.backends.iter().map(|backend| (backend.address, backend.port)).collect();
            prop_assert!(places.is_sorted_by(|a, b| a < b));
            let in_list = port.backends.iter().any(|backend| backend.lists.cluster || backend.lists.local);
            prop_assert!(port.policy.has_endpoints || !in_list);
            for backend in &port.backends {
                prop_assert!(backend.local || !backend.lists.local);
            }
        }
    }
}
