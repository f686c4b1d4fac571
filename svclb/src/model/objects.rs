//! The API objects a snapshot is built from.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Node, Pod, Service},
        discovery::v1::EndpointSlice,
        networking::v1::ServiceCIDR,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::source::Change;

/// Namespace and name of an object. Cluster-wide objects have an empty namespace. A clone shares the texts: an object is
/// known by its key in a dozen places.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key in an object's metadata; what is not set is empty.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.as_deref().unwrap_or_default().into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A complete set of API objects: the last state of each, without history, so that the order in which they
/// arrived leaves no trace. Objects are shared: a clone costs pointers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    services: BTreeMap<ObjectKey, Arc<Service>>,
    slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    nodes: BTreeMap<ObjectKey, Arc<Node>>,
    service_cidrs: BTreeMap<ObjectKey, Arc<ServiceCIDR>>,
    pods: BTreeMap<ObjectKey, Arc<Pod>>,
    is_partial: bool,
}

impl Objects {
    /// Says whether the source holds objects that could not be read.
    pub fn set_partial(&mut self, is_partial: bool) {
        self.is_partial = is_partial;
    }

    /// Whether the source holds objects that could not be read: what is not here may
    /// still be wanted.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Brings one object to the state that a source told.
    pub fn apply(&mut self, change: &Change) {
        fn set<T>(all: &mut BTreeMap<ObjectKey, Arc<T>>, key: &ObjectKey, object: Option<&Arc<T>>) {
            match object {
                Some(object) => all.insert(key.clone(), Arc::clone(object)),
                None => all.remove(key),
            };
        }
        match change {
            Change::Service(key, service) => set(&mut self.services, key, service.as_ref()),
            Change::Slice(key, slice) => set(&mut self.slices, key, slice.as_ref()),
            Change::Node(key, node) => set(&mut self.nodes, key, node.as_ref()),
            Change::ServiceCidr(key, cidr) => set(&mut self.service_cidrs, key, cidr.as_ref()),
            Change::Pod(key, pod) => set(&mut self.pods, key, pod.as_ref()),
        }
    }

    /// Adds a Service or replaces its earlier state.
    pub fn apply_service(&mut self, service: impl Into<Arc<Service>>) {
        let service = service.into();
        self.services.insert(ObjectKey::of(&service.metadata), service);
    }

    /// Adds an EndpointSlice or replaces its earlier state.
    pub fn apply_slice(&mut self, slice: impl Into<Arc<EndpointSlice>>) {
        let slice = slice.into();
        self.slices.insert(ObjectKey::of(&slice.metadata), slice);
    }

    /// Adds a Node or replaces its earlier state.
    pub fn apply_node(&mut self, node: impl Into<Arc<Node>>) {
        let node = node.into();
        self.nodes.insert(ObjectKey::of(&node.metadata), node);
    }

    /// Removes a Service; `false` if there was none.
    pub fn delete_service(&mut self, key: &ObjectKey) -> bool {
        self.services.remove(key).is_some()
    }

    /// Removes an EndpointSlice; `false` if there was none.
    pub fn delete_slice(&mut self, key: &ObjectKey) -> bool {
        self.slices.remove(key).is_some()
    }

    /// Removes a Node; `false` if there was none.
    pub fn delete_node(&mut self, key: &ObjectKey) -> bool {
        self.nodes.remove(key).is_some()
    }

    /// All Services by namespace and name.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.values().map(AsRef::as_ref)
    }

    /// All EndpointSlices by namespace and name.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = &EndpointSlice> {
        self.slices.values().map(AsRef::as_ref)
    }

    /// All Nodes by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values().map(AsRef::as_ref)
    }

    /// All ServiceCIDRs by name.
    pub fn service_cidrs(&self) -> impl ExactSizeIterator<Item = &ServiceCIDR> {
        self.service_cidrs.values().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::fixture;

    #[test]
    fn the_last_state_of_an_object_counts_until_it_is_deleted() {
        let service = |ip: &str| -> Service {
            fixture::from_json(
                json!({ "metadata": { "namespace": "a", "name": "b" }, "spec": { "clusterIP": ip } }),
            )
        };
        let mut objects = Objects::default();
        objects.apply_service(service("10.0.0.1"));
        objects.apply_service(service("10.0.0.2"));
        let stored: Vec<_> = objects.services().collect();
        assert_eq!(stored, [&service("10.0.0.2")]);

        let key = ObjectKey { namespace: "a".into(), name: "b".into() };
        assert_eq!(key.to_string(), "a/b");
        assert!(!objects.delete_slice(&key) && !objects.delete_node(&key));
        assert!(objects.delete_service(&key));
        assert!(!objects.delete_service(&key));
        assert_eq!(objects, Objects::default());
    }
}
