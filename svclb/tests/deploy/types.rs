//! Objects against the types of the API: nothing in a manifest may be a field that the API does not have.

use k8s_openapi::{
    NamespaceResourceScope, Resource,
    api::{
        apps::v1::DaemonSet,
        core::v1::{ConfigMap, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::objects::manifests;

/// What is wrong with an object, if it is of the kind that is checked.
type Check = fn(&Value) -> Option<Vec<String>>;

/// What is wrong with an object, one line each.
pub(crate) fn complaints(object: &Value) -> Vec<String> {
    let kinds: [Check; 5] = [
        namespaced::<ServiceAccount>,
        namespaced::<ConfigMap>,
        namespaced::<DaemonSet>,
        checked::<ClusterRole>,
        checked::<ClusterRoleBinding>,
    ];
    kinds.iter().find_map(|kind| kind(object)).unwrap_or_else(|| vec!["a kind that no test knows".into()])
}

fn namespaced<T>(object: &Value) -> Option<Vec<String>>
where
    T: Resource<Scope = NamespaceResourceScope> + DeserializeOwned + Serialize,
{
    let mut complaints = checked::<T>(object)?;
    if object["metadata"]["namespace"] != "kube-system" {
        complaints.push("metadata.namespace is not kube-system".into());
    }
    Some(complaints)
}

/// None if the object is of another kind. The types skip what they do not know, so what they kept is compared with
/// what there was.
fn checked<T: Resource + DeserializeOwned + Serialize>(object: &Value) -> Option<Vec<String>> {
    if object["apiVersion"] != T::API_VERSION || object["kind"] != T::KIND {
        return None;
    }
    let kept = serde_json::from_value::<T>(object.clone()).and_then(serde_json::to_value);
    Some(match kept {
        Ok(kept) => lost(object, &kept, ""),
        Err(error) => vec![error.to_string()],
    })
}

/// Fields of `source` that `kept` lacks or has with another value.
fn lost(source: &Value, kept: &Value, at: &str) -> Vec<String> {
    match (source, kept) {
        (Value::Object(source), Value::Object(kept)) => {
            let field = |(name, value): (&String, &Value)| {
                let at = format!("{at}.{name}");
                kept.get(name).map_or_else(|| vec![format!("{at} is unknown")], |kept| lost(value, kept, &at))
            };
            source.iter().flat_map(field).collect()
        }
        (Value::Array(source), Value::Array(kept)) if source.len() == kept.len() => {
            let items = source.iter().zip(kept).enumerate();
            items.flat_map(|(index, (source, kept))| lost(source, kept, &format!("{at}[{index}]"))).collect()
        }
        _ if source == kept => vec![],
        _ => vec![format!("{at} is {source}, which is read as {kept}")],
    }
}

#[test]
fn every_manifest_is_of_its_type() {
    let manifests = manifests();
    assert_eq!(manifests.keys().collect::<Vec<_>>(), ["cleanup.yaml", "svclb.yaml"]);
    for (file, objects) in manifests {
        for object in objects {
            assert_eq!(complaints(&object), Vec::<String>::new(), "{file}: {}", object["kind"]);
        }
    }
}

#[test]
fn mistakes_are_found() {
    let good = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "a", "namespace": "kube-system" },
        "spec": { "selector": {}, "template": { "spec": { "containers": [{ "name": "c" }] } } },
    });
    assert_eq!(complaints(&good), Vec::<String>::new());
    let table: [(&str, Value, &str); 5] = [
        ("/spec/template/spec/hostnetwork", json!(true), ".spec.template.spec.hostnetwork is unknown"),
        (
            "/spec/template/spec/containers/0/arg",
            json!([]),
            ".spec.template.spec.containers[0].arg is unknown",
        ),
        ("/spec/template/spec/hostNetwork", json!("yes"), "invalid type: string \"yes\", expected a boolean"),
        ("/metadata/namespace", json!("default"), "metadata.namespace is not kube-system"),
        ("/kind", json!("ReplicaSet"), "a kind that no test knows"),
    ];
    for (pointer, value, complaint) in table {
        let mut bad = good.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[field] = value;
        assert_eq!(complaints(&bad), [complaint], "{pointer}");
    }
}
