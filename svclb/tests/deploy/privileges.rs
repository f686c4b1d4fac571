//! What the pods may do: what `docs/deploy.md` lists, and no more.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::objects::{container, manifests, only, path, plain, texts};

/// The capabilities in the table of the documentation.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(path("../docs/deploy.md")).unwrap();
    let (_, section) = page.split_once("## What the pods may do").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let is_capability = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    named.map(|(name, _)| name).filter(is_capability).map(ToOwned::to_owned).collect()
}

/// Every container of every workload.
fn containers() -> Vec<(String, Value)> {
    let mut containers = Vec::new();
    for (file, objects) in manifests() {
        for pod in objects.iter().map(|object| &object["spec"]["template"]["spec"]) {
            let lists = ["initContainers", "containers"].map(|field| pod[field].as_array());
            let all = lists.into_iter().flatten().flatten();
            containers
                .extend(all.map(|container| (format!("{file}: {}", container["name"]), container.clone())));
        }
    }
    containers
}

#[test]
fn the_capabilities_are_the_documented_ones() {
    let objects = plain();
    let capabilities = &container(only(&objects, "DaemonSet"))["securityContext"]["capabilities"];
    let granted: BTreeSet<_> = texts(&capabilities["add"]).into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(granted, documented());
    assert_eq!(capabilities["drop"], json!(["ALL"]));
}

#[test]
fn root_file_systems_are_read_only_and_nothing_asks_for_a_shell() {
    let containers = containers();
    assert_eq!(containers.len(), 3);
    for (name, container) in containers {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
        // The image holds one file, its entry point.
        assert_eq!(container.get("command"), None, "{name}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let command = texts(&container[probe]["exec"]["command"]);
            assert!(command.first().is_none_or(|program| *program == "/svclb"), "{name}: {probe}");
        }
        assert_eq!(container.get("lifecycle"), None, "{name}");
    }
}

#[test]
fn only_metrics_of_the_node_itself_are_served_by_default() {
    let here = svclb::config::Environment { host_name: Some("node".into()), in_cluster: true };
    let resolved = svclb::config::resolve(svclb::config::Layer::default(), None, &here).unwrap();
    let text = serde_json::to_value(&resolved.config).unwrap();
    let address: std::net::SocketAddr = text["metricsBindAddress"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback(), "{address}");
}
