//! What is read of a Service and what is told of it.

use serde_json::{Value, json};

use super::*;
use crate::model::fixture;

fn service(annotations: &Value, spec: &Value) -> Service {
    let mut spec = spec.clone();
    spec["clusterIP"] = json!("10.0.0.1");
    fixture::from_json(json!({
        "metadata": { "namespace": "default", "name": "web", "uid": "u", "annotations": annotations },
        "spec": spec,
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
    }))
}

fn of(spec: &Value) -> ServiceFacts {
    ServiceFacts::of(&service(&Value::Null, spec))
}

/// Reason and field of each notice.
fn told(facts: &ServiceFacts) -> String {
    let line = |notice: &Notice| format!("{} {}", notice.reason.as_str(), notice.field);
    facts.notices.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_external_policy_counts_where_a_service_can_be_reached_from_outside() {
    use TrafficPolicy::{Cluster, Local};
    let table = [
        (json!({}), Cluster),
        (json!({ "type": "NodePort", "externalTrafficPolicy": "Local" }), Local),
        (json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }), Local),
        (json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Cluster" }), Cluster),
        (json!({ "type": "LoadBalancer" }), Cluster),
        (json!({ "type": "ClusterIP", "externalTrafficPolicy": "Local" }), Cluster),
        (json!({ "externalTrafficPolicy": "Local", "externalIPs": [] }), Cluster),
        (json!({ "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"] }), Local),
    ];
    for (spec, expected) in table {
        assert_eq!(of(&spec).external, expected, "{spec}");
    }
    assert_eq!(of(&json!({ "internalTrafficPolicy": "Local" })).internal, Local);
    assert_eq!(of(&json!({ "internalTrafficPolicy": "Cluster" })).internal, Cluster);
    assert_eq!(of(&json!({})).internal, Cluster);
}

#[test]
fn affinity_has_a_timeout() {
    let with = |seconds: Value| {
        json!({
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": seconds } },
        })
    };
    let wrong = "InvalidAffinityTimeout spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    let table = [
        (json!({}), None, ""),
        (json!({ "sessionAffinity": "None" }), None, ""),
        (json!({ "sessionAffinity": "ClientIP" }), Some(10_800), ""),
        (with(Value::Null), Some(10_800), ""),
        (with(json!(1)), Some(1), ""),
        (with(json!(86_400)), Some(86_400), ""),
        (with(json!(0)), Some(10_800), wrong),
        (with(json!(-5)), Some(10_800), wrong),
        (with(json!(86_401)), Some(10_800), wrong),
    ];
    for (spec, seconds, notices) in table {
        let facts = of(&spec);
        assert_eq!(
            (facts.affinity.map(NonZeroU32::get), told(&facts).as_str()),
            (seconds, notices),
            "{spec}"
        );
    }
}

#[test]
fn a_health_check_is_for_load_balancers_with_policy_local() {
    let local = |type_: &str, port: Value| json!({ "type": type_, "externalTrafficPolicy": "Local", "healthCheckNodePort": port });
    let missing = "NoHealthCheckPort spec.healthCheckNodePort";
    let table = [
        (local("LoadBalancer", json!(30_100)), Some(30_100), ""),
        (local("NodePort", json!(30_100)), None, ""),
        (local("LoadBalancer", json!(0)), None, missing),
        (local("LoadBalancer", Value::Null), None, missing),
        (local("LoadBalancer", json!(65_536)), None, missing),
        (json!({ "type": "LoadBalancer", "healthCheckNodePort": 30_100 }), None, ""),
    ];
    for (spec, port, notices) in table {
        let facts = of(&spec);
        assert_eq!((facts.health_check, told(&facts).as_str()), (port, notices), "{spec}");
    }
}

#[test]
fn annotations_are_honoured_or_named() {
    let (algorithm, weights) = (algorithm::ANNOTATION, weights::ANNOTATION);
    let field = |reason: &str, annotation: &str| format!("{reason} metadata.annotations[{annotation}]");
    let table = [
        (json!({}), None, 0, String::new()),
        (json!({ algorithm: "random" }), Some(Algorithm::Random), 0, String::new()),
        (json!({ algorithm: "maglev" }), Some(Algorithm::Maglev), 0, String::new()),
        (json!({ algorithm: "rr" }), None, 0, field("InvalidAlgorithm", algorithm)),
        (json!({ algorithm: "" }), None, 0, field("InvalidAlgorithm", algorithm)),
        (json!({ weights: "10.1.0.1=1" }), None, 1, String::new()),
        (json!({ weights: "10.1.0.1=2" }), None, 1, String::new()),
        (json!({ weights: "10.1.0.1" }), None, 0, field("InvalidWeight", weights)),
    ];
    for (annotations, chosen, weighed, notices) in table {
        let facts = ServiceFacts::of(&service(&annotations, &json!({})));
        assert_eq!((facts.algorithm, facts.weights.len()), (chosen, weighed), "{annotations}");
        assert_eq!(told(&facts), notices, "{annotations}");
    }
    let facts = ServiceFacts::of(&service(&json!({ algorithm: "rr" }), &json!({})));
    let expected = "Service default/web: metadata.annotations[svclb.io/algorithm]: \"rr\" is none of random, \
        round-robin, least-conn, maglev, source-hash: ignored";
    assert_eq!(facts.notices[0].to_string(), expected);
    assert_eq!(facts.notices[0].uid.as_deref(), Some("u"));
}

#[test]
fn a_rate_is_honoured_or_named() {
    let table = [
        (json!({}), None, ""),
        (json!({ rate::ANNOTATION: "0" }), Some(0), ""),
        (json!({ rate::ANNOTATION: "250" }), Some(250), ""),
        (
            json!({ rate::ANNOTATION: "-1" }),
            None,
            "InvalidRate metadata.annotations[svclb.io/max-new-flows-per-second]",
        ),
        (
            json!({ rate::ANNOTATION: "9999999" }),
            None,
            "InvalidRate metadata.annotations[svclb.io/max-new-flows-per-second]",
        ),
    ];
    for (annotations, rate, notices) in table {
        let facts = ServiceFacts::of(&service(&annotations, &json!({})));
        assert_eq!((facts.rate.map(Rate::get), told(&facts).as_str()), (rate, notices), "{annotations}");
    }
    let facts = ServiceFacts::of(&service(&json!({ rate::ANNOTATION: "many" }), &json!({})));
    let expected = "Service default/web: metadata.annotations[svclb.io/max-new-flows-per-second]: \"many\" is not a number \
        from 0 to 1048575: ignored";
    assert_eq!(facts.notices[0].to_string(), expected);
}

#[test]
fn a_family_that_ranges_leave_open_is_named() {
    let field = "spec.loadBalancerSourceRanges";
    let table = [
        (json!([]), 0, String::new()),
        (json!(["", "  "]), 0, String::new()),
        (json!([" 192.0.2.0/24 ", "2001:db8::/32"]), 2, String::new()),
        (json!(["0.0.0.0/0"]), 1, String::new()),
        (json!(["2001:db8::/32"]), 1, format!("OpenFamily {field}")),
        (json!(["192.0.2.0/24", "x"]), 1, format!("InvalidRange {field}[1]")),
        (json!(["192.0.2.1"]), 0, format!("InvalidRange {field}[0], OpenFamily {field}")),
    ];
    for (ranges, listed, notices) in table {
        let facts = of(&json!({ "loadBalancerSourceRanges": ranges }));
        assert_eq!((facts.ranges.len(), told(&facts)), (listed, notices), "{ranges}");
    }
}
