//! What the `DaemonSets` say about the agent: its command line, its configuration, its place on the node.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use svclb::config::{Environment, Layer, resolve};

use crate::objects::{config, container, documents, manifests, only, plain, texts};

fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

/// Whether clap knows the subcommand and each long flag; values are not looked at.
fn check_flags(arguments: &[&str]) {
    let command = svclb::cli::command();
    let (name, arguments) = arguments.split_first().expect("a subcommand");
    let subcommand = command.find_subcommand(name).unwrap_or_else(|| panic!("svclb has no {name}"));
    for flag in arguments.iter().filter_map(|argument| argument.strip_prefix("--")) {
        let flag = flag.split('=').next().unwrap();
        let is_known = subcommand.get_arguments().any(|known| known.get_long() == Some(flag));
        assert!(is_known, "svclb {name} --{flag}");
    }
}

#[test]
fn command_lines_are_the_agents() {
    let objects = plain();
    let daemon_set = only(&objects, "DaemonSet");
    check_flags(&texts(&container(daemon_set)["args"]));
    let probe = texts(&container(daemon_set)["readinessProbe"]["exec"]["command"]);
    assert_eq!(probe[0], "/svclb", "there is no shell and no PATH");
    let cleanup = manifests().remove("cleanup.yaml").unwrap();
    let cleanup = texts(&pod(&cleanup[0])["initContainers"][0]["args"]).join(" ");
    for line in [probe[1..].join(" "), cleanup] {
        let words = ["svclb"].into_iter().chain(line.split(' '));
        let parsed = svclb::cli::command().try_get_matches_from(words);
        assert!(parsed.is_ok(), "svclb {line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn images_have_the_version_of_the_agent() {
    let wanted = concat!("localhost/svclb:", env!("CARGO_PKG_VERSION"));
    assert_eq!(container(only(&plain(), "DaemonSet"))["image"], wanted);
    let cleanup = manifests().remove("cleanup.yaml").unwrap();
    assert_eq!(pod(&cleanup[0])["initContainers"][0]["image"], wanted);
}

#[test]
fn the_configuration_is_where_the_agent_looks_and_names_the_ports_that_are_probed() {
    let objects = plain();
    let daemon_set = only(&objects, "DaemonSet");
    let args = texts(&container(daemon_set)["args"]);
    let file = args.iter().skip_while(|argument| **argument != "--config").nth(1).unwrap();
    let mounts = container(daemon_set)["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "config").unwrap();
    assert_eq!(format!("{}/config.yaml", mount["mountPath"].as_str().unwrap()), *file);

    let text = config(&objects);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    let here = Environment { host_name: Some("node".into()), in_cluster: true };
    let resolved = resolve(Layer::default(), Some(&path), &here);
    assert!(resolved.as_ref().is_ok_and(|resolved| resolved.warnings.is_empty()), "{resolved:?}");

    let config = documents(text).remove(0);
    assert_eq!(config["apiVersion"], "svclb.io/v1alpha1");
    assert_eq!(config["kind"], "Config");
    let (address, port) = config["healthzBindAddress"].as_str().unwrap().rsplit_once(':').unwrap();
    assert_eq!(address, "0.0.0.0", "kubelets ask the node's address");
    for probe in ["startupProbe", "livenessProbe"] {
        let get = &container(daemon_set)[probe]["httpGet"];
        assert_eq!((&get["path"], &get["port"].to_string()), (&json!("/livez"), &port.to_owned()), "{probe}");
    }
}

#[test]
fn volumes_are_defined_and_used() {
    for object in manifests().into_values().flatten().filter(|object| object["kind"] == "DaemonSet") {
        let names = |list: &Value| -> BTreeSet<String> {
            let items = list.as_array().into_iter().flatten();
            items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        let containers = ["initContainers", "containers"].map(|field| pod(&object)[field].as_array());
        let mounted = containers.into_iter().flatten().flatten();
        let mounted: BTreeSet<String> = mounted.flat_map(|c| names(&c["volumeMounts"])).collect();
        assert_eq!(mounted, names(&pod(&object)["volumes"]), "{}", object["metadata"]["name"]);
        assert_eq!(
            object["spec"]["selector"]["matchLabels"],
            object["spec"]["template"]["metadata"]["labels"]
        );
    }
    let objects = plain();
    let map = &pod(only(&objects, "DaemonSet"))["volumes"][0]["configMap"]["name"];
    assert_eq!(map, &only(&objects, "ConfigMap")["metadata"]["name"]);
}

#[test]
fn the_agent_is_on_every_node_in_its_network_and_comes_first() {
    let objects = plain();
    let pod = pod(only(&objects, "DaemonSet"));
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
    // two agents cannot share a node's tables
    assert_eq!(only(&objects, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], 0);
}

#[test]
fn the_agent_has_the_least_privileges() {
    let objects = plain();
    let context = &container(only(&objects, "DaemonSet"))["securityContext"];
    assert_eq!(context.get("privileged"), None);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(context["capabilities"]["add"], json!(["BPF", "NET_ADMIN", "PERFMON"]));
}
