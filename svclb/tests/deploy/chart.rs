//! The Helm chart: the same objects as the plain manifests, and what its values change.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    objects::{config, container, documents, only, path, plain, read},
    template::render,
    types,
};

const CHART: &str = "helm/svclb";

fn values() -> Value {
    documents(&read(&format!("{CHART}/values.yaml"))).remove(0)
}

/// The objects of `helm install --namespace kube-system` with these values.
fn rendered(values: &Value) -> Vec<Value> {
    let chart = documents(&read(&format!("{CHART}/Chart.yaml"))).remove(0);
    // Helm gives templates the chart's fields with a capital letter.
    let root = json!({
        "Values": values,
        "Chart": { "Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"] },
        "Release": { "Name": "svclb", "Namespace": "kube-system" },
    });
    let files = fs::read_dir(path(&format!("{CHART}/templates"))).unwrap();
    let mut objects = Vec::new();
    for file in files.map(|file| file.unwrap().path()) {
        let text = render(&fs::read_to_string(&file).unwrap(), &root)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        objects.extend(documents(&text));
    }
    objects
}

/// By kind and name, with the agent's configuration as a tree: how its text is laid out means nothing.
fn by_name(objects: Vec<Value>) -> BTreeMap<(String, String), Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    objects
        .into_iter()
        .map(|mut object| {
            if let Some(data) = object["data"].get_mut("config.yaml") {
                *data = documents(data.as_str().unwrap()).remove(0);
            }
            ((text(&object["kind"]), text(&object["metadata"]["name"])), object)
        })
        .collect()
}

#[test]
fn the_chart_renders_what_the_plain_manifests_say() {
    let (chart, plain) = (by_name(rendered(&values())), by_name(plain()));
    assert_eq!(chart.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    for (name, object) in &plain {
        assert_eq!(&chart[name], object, "{name:?}");
    }
}

#[test]
fn the_charts_versions_are_the_agents() {
    let chart = documents(&read(&format!("{CHART}/Chart.yaml"))).remove(0);
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// Every value that is empty by default, and some that are not.
fn other_values() -> Value {
    let mut values = values();
    let other = json!({
        "image": { "repository": "example.org/svclb", "tag": "9", "pullPolicy": "Always" },
        "imagePullSecrets": [{ "name": "pull" }],
        "apiServer": { "host": "192.0.2.1", "port": 6443 },
        "config": { "apiVersion": "svclb.io/v1alpha1", "kind": "Config", "clusterCidr": ["10.244.0.0/16", "fd00::/56"] },
        "healthzPort": 10300,
        "nodeSelector": {},
        "tolerations": [],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "edge", "operator": "DoesNotExist" }] },
        ] } } },
        "securityContext": { "privileged": true },
        "podAnnotations": { "example.org/a": "b" },
        "podLabels": { "team": "net" },
        "extraVolumes": [{ "name": "kubeconfig", "configMap": { "name": "kube-proxy" } }],
        "extraVolumeMounts": [{ "name": "kubeconfig", "mountPath": "/var/lib/kube-proxy", "readOnly": true }],
    });
    for (name, value) in other.as_object().unwrap() {
        assert!(values.get(name).is_some(), "{name} is no value of the chart");
        values[name] = value.clone();
    }
    values
}

#[test]
fn values_arrive_where_they_belong() {
    let values = other_values();
    let objects = rendered(&values);
    let daemon_set = only(&objects, "DaemonSet");
    let (template, container) = (&daemon_set["spec"]["template"], container(daemon_set));
    assert_eq!(container["image"], "example.org/svclb:9");
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["livenessProbe"]["httpGet"]["port"], 10300);
    assert_eq!(container["securityContext"], json!({ "privileged": true }));
    assert_eq!(template["metadata"]["annotations"], values["podAnnotations"]);
    assert_eq!(template["metadata"]["labels"]["team"], "net");
    assert_eq!(template["spec"]["affinity"], values["affinity"]);
    assert_eq!(template["spec"].get("nodeSelector"), None);
    assert_eq!(template["spec"].get("tolerations"), None);
    let has = |list: &Value, item: &Value| list.as_array().unwrap().contains(item);
    assert!(has(&template["spec"]["volumes"], &values["extraVolumes"][0]));
    assert!(has(&container["volumeMounts"], &values["extraVolumeMounts"][0]));
    assert_eq!(only(&objects, "ServiceAccount")["imagePullSecrets"], values["imagePullSecrets"]);
    assert_eq!(documents(config(&objects)).remove(0), values["config"]);

    let is_api_server = |object: &&Value| object["metadata"]["name"] == "svclb-apiserver";
    let api_server = objects.iter().find(is_api_server).unwrap();
    // texts, as a ConfigMap wants them
    assert_eq!(api_server["data"], json!({ "host": "192.0.2.1", "port": "6443" }));
}

#[test]
fn every_rendered_object_is_of_its_type() {
    for values in [values(), other_values()] {
        for object in rendered(&values) {
            assert_eq!(types::complaints(&object), Vec::<String>::new(), "{object}");
        }
    }
}
