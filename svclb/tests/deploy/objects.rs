//! The objects in `deploy/`, as trees.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A file or folder below `deploy/`.
pub(crate) fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(below)
}

/// The text of a file below `deploy/`.
pub(crate) fn read(below: &str) -> String {
    let path = path(below);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The files with manifests that stand directly in `deploy/`, and what is in them.
pub(crate) fn manifests() -> BTreeMap<String, Vec<Value>> {
    let files = fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files
        .filter(|path| path.is_file())
        .map(|path| name(&path))
        .map(|file| (file.clone(), documents(&read(&file))))
        .collect()
}

/// The objects that `kubectl apply -f deploy/svclb.yaml` makes.
pub(crate) fn plain() -> Vec<Value> {
    documents(&read("svclb.yaml"))
}

/// The one object of this kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    match (found.next(), found.next()) {
        (Some(object), None) => object,
        (first, _) => panic!("{} of kind {kind}", if first.is_some() { "several" } else { "none" }),
    }
}

/// The agent's configuration among the objects, as it stands in the file that the agent reads.
pub(crate) fn config(objects: &[Value]) -> &str {
    let name = |object: &&Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == "svclb";
    let map = objects.iter().find(name).expect("a ConfigMap svclb");
    map["data"]["config.yaml"].as_str().expect("a text")
}

/// The one container of a workload's pods.
pub(crate) fn container(workload: &Value) -> &Value {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The texts in a list.
pub(crate) fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a text")).collect()
}
