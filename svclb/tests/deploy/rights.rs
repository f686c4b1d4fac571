//! The agent's rights at the API server: what it calls, and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;
use svclb::rbac::CALLS;

use crate::objects::{only, plain, texts};

/// Group, resource, verb.
type Right<'a> = (&'a str, &'a str, &'a str);

fn granted(role: &Value) -> Vec<Right<'_>> {
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let fields: BTreeSet<&str> = rule.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["apiGroups", "resources", "verbs"]), "{rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(texts(&rule["verbs"]).into_iter().map(|verb| (group, resource, verb)));
            }
        }
    }
    rights
}

#[test]
fn the_role_covers_exactly_the_calls() {
    let objects = plain();
    let mut granted = granted(only(&objects, "ClusterRole"));
    let mut needed: Vec<Right<'_>> = CALLS
        .iter()
        .flat_map(|call| call.verbs.iter().map(|verb| (call.group, call.resource, *verb)))
        .collect();
    granted.sort_unstable();
    needed.sort_unstable();
    assert_eq!(granted, needed);
}

#[test]
fn the_role_is_the_agents() {
    let objects = plain();
    let binding = only(&objects, "ClusterRoleBinding");
    let role = &only(&objects, "ClusterRole")["metadata"]["name"];
    let account = &only(&objects, "ServiceAccount")["metadata"];
    assert_eq!(&binding["roleRef"]["name"], role);
    assert_eq!(binding["subjects"].as_array().unwrap().len(), 1);
    assert_eq!(binding["subjects"][0]["kind"], "ServiceAccount");
    assert_eq!(binding["subjects"][0]["name"], account["name"]);
    assert_eq!(binding["subjects"][0]["namespace"], account["namespace"]);
    let pod = &only(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["name"]);
}
