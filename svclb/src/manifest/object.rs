//! One API object of a manifest.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};

use crate::model::{ObjectKey, Objects};

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The line it begins on, counted from 1 in its file.
    pub line: u64,
    /// The object itself.
    pub resource: Resource,
}

/// The kinds of object that a manifest may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// A `v1` Service.
    Service(Arc<Service>),
    /// A `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// A `v1` Node.
    Node(Arc<Node>),
    /// Anything else, which has no meaning here; its `apiVersion` and `kind`, joined by a space.
    Ignored(String),
}

impl Resource {
    /// Kind and key; `None` for what is ignored.
    pub(super) fn id(&self) -> Option<(&'static str, ObjectKey)> {
        match self {
            Self::Service(service) => Some(("Service", ObjectKey::of(&service.metadata))),
            Self::EndpointSlice(slice) => Some(("EndpointSlice", ObjectKey::of(&slice.metadata))),
            Self::Node(node) => Some(("Node", ObjectKey::of(&node.metadata))),
            Self::Ignored(_) => None,
        }
    }

    /// Adds the object to `objects`.
    pub(super) fn apply(&self, objects: &mut Objects) {
        match self {
            Self::Service(service) => objects.apply_service(Arc::clone(service)),
            Self::EndpointSlice(slice) => objects.apply_slice(Arc::clone(slice)),
            Self::Node(node) => objects.apply_node(Arc::clone(node)),
            Self::Ignored(_) => {}
        }
    }
}
