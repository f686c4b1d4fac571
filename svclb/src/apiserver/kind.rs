//! Which objects of a kind are asked for, and what of them is kept.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Node, NodeStatus, Pod, PodSpec, PodStatus, Service},
        discovery::v1::EndpointSlice,
        networking::v1::ServiceCIDR,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{
        CONFIG_HASH, ObjectKey, SOCKET_LB,
        name::{LABEL, Naming, SUBDOMAIN},
    },
    source::Change,
};

/// Labels that the model reads.
const LABELS: &[&str] = &[
    "kubernetes.io/service-name",
    "service.kubernetes.io/headless",
    "service.kubernetes.io/service-proxy-name",
    "topology.kubernetes.io/zone",
    SOCKET_LB,
];

/// Annotations that are read: this name, that of a pod's other UID, and all with this prefix.
const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const OWN_PREFIX: &str = "svclb.io/";

/// A kind of API object that the agent follows.
pub(super) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// The label selector, if not every object counts.
    const LABELS: Option<&str>;
    /// Whether the agent does without it where the server does not serve it to us.
    const IS_OPTIONAL: bool;

    /// What they may be called.
    const NAMING: Naming;

    /// The field selector, if not every object counts.
    fn fields(_node_name: &str) -> Option<String> {
        None
    }

    /// Drops what nobody reads beside the metadata.
    fn strip(&mut self) {}

    /// What the agent is told.
    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change;
}

impl Kind for Service {
    const LABELS: Option<&str> = Some("!service.kubernetes.io/service-proxy-name");
    const IS_OPTIONAL: bool = false;
    const NAMING: Naming = Naming::Namespaced(LABEL);

    fn fields(_node_name: &str) -> Option<String> {
        Some("spec.clusterIP!=None".into())
    }

    fn strip(&mut self) {
        if let Some(spec) = &mut self.spec {
            spec.selector = None;
        }
        if let Some(status) = &mut self.status {
            status.conditions = None;
        }
    }

    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change {
        Change::Service(key, object)
    }
}

impl Kind for EndpointSlice {
    const LABELS: Option<&str> = Some("!service.kubernetes.io/headless");
    const IS_OPTIONAL: bool = false;
    const NAMING: Naming = Naming::Namespaced(SUBDOMAIN);

    fn strip(&mut self) {
        for endpoint in &mut self.endpoints {
            endpoint.target_ref = None;
            endpoint.deprecated_topology = None;
            endpoint.hostname = None;
        }
    }

    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change {
        Change::Slice(key, object)
    }
}

impl Kind for Node {
    const LABELS: Option<&str> = None;
    const IS_OPTIONAL: bool = true;
    const NAMING: Naming = Naming::Cluster;

    fn fields(node_name: &str) -> Option<String> {
        Some(format!("metadata.name={node_name}"))
    }

    /// The kubelet reports conditions all the time; they must not look like changes.
    fn strip(&mut self) {
        let addresses = self.status.take().and_then(|status| status.addresses);
        self.status = addresses.map(|some| NodeStatus { addresses: Some(some), ..NodeStatus::default() });
    }

    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change {
        Change::Node(key, object)
    }
}

impl Kind for ServiceCIDR {
    const LABELS: Option<&str> = None;
    const IS_OPTIONAL: bool = true;
    const NAMING: Naming = Naming::Cluster;

    fn strip(&mut self) {
        self.status = None;
    }

    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change {
        Change::ServiceCidr(key, object)
    }
}

impl Kind for Pod {
    const LABELS: Option<&str> = None;
    const IS_OPTIONAL: bool = true;
    const NAMING: Naming = Naming::Namespaced(SUBDOMAIN);

    fn fields(node_name: &str) -> Option<String> {
        Some(format!("spec.nodeName={node_name}"))
    }

    fn strip(&mut self) {
        if let Some(spec) = &mut self.spec {
            let PodSpec { node_name, runtime_class_name, host_network, .. } = std::mem::take(spec);
            *spec = PodSpec { node_name, runtime_class_name, host_network, ..PodSpec::default() };
        }
        let status = self.status.take().unwrap_or_default();
        let PodStatus { phase, pod_ips, .. } = status;
        self.status = phase.map(|phase| PodStatus { phase: Some(phase), pod_ips, ..PodStatus::default() });
    }

    fn change(key: ObjectKey, object: Option<Arc<Self>>) -> Change {
        Change::Pod(key, object)
    }
}

/// An object without what nobody reads, so that it takes less memory, and equals a version of itself that differs
/// in nothing that counts.
pub(super) fn stripped<K: Kind>(mut object: K) -> Arc<K> {
    object.strip();
    let meta = object.meta_mut();
    let kept = ObjectMeta {
        name: meta.name.take(),
        namespace: meta.namespace.take(),
        uid: meta.uid.take(),
        creation_timestamp: meta.creation_timestamp.take(),
        deletion_timestamp: meta.deletion_timestamp.take(),
        labels: only(meta.labels.take(), |label| LABELS.contains(&label)),
        annotations: only(meta.annotations.take(), |name| {
            name == LAST_CHANGE || name == CONFIG_HASH || name.starts_with(OWN_PREFIX)
        }),
        ..ObjectMeta::default()
    };
    *meta = kept;
    Arc::new(object)
}

type Texts = std::collections::BTreeMap<String, String>;

fn only(texts: Option<Texts>, is_read: impl Fn(&str) -> bool) -> Option<Texts> {
    let mut texts = texts?;
    texts.retain(|name, _| is_read(name));
    (!texts.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of<K: Kind>(object: Value) -> Arc<K> {
        stripped(serde_json::from_value::<K>(object).unwrap())
    }

    #[test]
    fn what_nobody_reads_makes_no_difference() {
        let metadata = |more: &Value| {
            let mut metadata = json!({
                "name": "a", "namespace": "b", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "kubernetes.io/service-name": "a" }, "annotations": { "svclb.io/algorithm": "maglev" },
            });
            for (key, value) in more.as_object().unwrap() {
                match (metadata.get_mut(key).and_then(Value::as_object_mut), value) {
                    (Some(old), Value::Object(new)) => old.extend(new.clone()),
                    _ => metadata[key] = value.clone(),
                }
            }
            metadata
        };
        let noise = metadata(&json!({
            "resourceVersion": "7", "generation": 3, "managedFields": [{ "manager": "kubectl" }],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": "a", "uid": "c" }],
            "labels": { "app": "a" }, "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
        }));
        let quiet = metadata(&json!({}));
        assert_eq!(
            of::<Service>(json!({
                "metadata": noise,
                "spec": { "clusterIP": "10.0.0.1", "selector": { "app": "a" } },
                "status": { "loadBalancer": {}, "conditions": [{
                    "type": "a", "status": "b", "reason": "c", "message": "d", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }] },
            })),
            of::<Service>(json!({
                "metadata": quiet, "spec": { "clusterIP": "10.0.0.1" }, "status": { "loadBalancer": {} },
            })),
        );
        assert_eq!(
            of::<EndpointSlice>(json!({
                "metadata": noise, "addressType": "IPv4", "ports": [],
                "endpoints": [{ "addresses": ["10.1.0.1"], "targetRef": { "kind": "Pod", "name": "a" }, "hostname": "a" }],
            })),
            of::<EndpointSlice>(json!({
                "metadata": quiet, "addressType": "IPv4", "ports": [], "endpoints": [{ "addresses": ["10.1.0.1"] }],
            })),
        );
        assert_eq!(
            of::<Node>(json!({
                "metadata": noise,
                "status": { "addresses": [{ "type": "InternalIP", "address": "a" }], "images": [{ "names": ["a"] }] },
            })),
            of::<Node>(json!({
                "metadata": quiet, "status": { "addresses": [{ "type": "InternalIP", "address": "a" }] },
            })),
        );
    }

    #[test]
    fn what_is_read_stays() {
        let node = of::<Node>(json!({
            "metadata": {
                "name": "a", "uid": "b", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "topology.kubernetes.io/zone": "z", "kubernetes.io/arch": "amd64" },
            },
            "spec": { "podCIDRs": ["10.244.1.0/24"], "taints": [{ "key": "k", "effect": "NoSchedule" }] },
        }));
        assert!(node.metadata.deletion_timestamp.is_some() && node.metadata.uid.is_some());
        assert_eq!(node.metadata.labels.as_ref().map(Texts::len), Some(1));
        let spec = node.spec.as_ref().unwrap();
        assert!(spec.pod_cidrs.is_some() && spec.taints.is_some());

        let slice = of::<EndpointSlice>(json!({
            "metadata": { "name": "a", "annotations": { LAST_CHANGE: "2026-01-01T00:00:00Z" } },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.1.0.1"], "nodeName": "n", "zone": "z", "conditions": { "ready": true },
                "hints": { "forZones": [{ "name": "z" }] },
            }],
        }));
        let endpoint = &slice.endpoints[0];
        assert!(endpoint.node_name.is_some() && endpoint.zone.is_some() && endpoint.hints.is_some());
        assert!(endpoint.conditions.is_some() && slice.metadata.annotations.is_some());
    }
}
