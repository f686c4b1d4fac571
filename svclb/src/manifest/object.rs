//! One API object of a manifest.

use std::{fmt, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};

use crate::{model::ObjectKey, source::Change};

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
    /// A `networking.k8s.io/v1` ServiceCIDR.
    ServiceCidr(Arc<ServiceCIDR>),
    /// A `v1` Pod.
    Pod(Arc<Pod>),
    /// Anything else, which has no meaning here; its `apiVersion` and `kind`, joined by a space.
    Ignored(String),
}

impl Resource {
    /// Which object this is; `None` for what is ignored.
    pub(super) fn id(&self) -> Option<Id> {
        let (kind, metadata) = match self {
            Self::Service(service) => (Kind::Service, &service.metadata),
            Self::EndpointSlice(slice) => (Kind::EndpointSlice, &slice.metadata),
            Self::Node(node) => (Kind::Node, &node.metadata),
            Self::ServiceCidr(cidr) => (Kind::ServiceCidr, &cidr.metadata),
            Self::Pod(pod) => (Kind::Pod, &pod.metadata),
            Self::Ignored(_) => return None,
        };
        Some(Id { kind, key: ObjectKey::of(metadata) })
    }

    /// What tells of this state of the object; `None` for what is ignored.
    pub(super) fn change(&self) -> Option<Change> {
        let Id { key, .. } = self.id()?;
        Some(match self {
            Self::Service(service) => Change::Service(key, Some(Arc::clone(service))),
            Self::EndpointSlice(slice) => Change::Slice(key, Some(Arc::clone(slice))),
            Self::Node(node) => Change::Node(key, Some(Arc::clone(node))),
            Self::ServiceCidr(cidr) => Change::ServiceCidr(key, Some(Arc::clone(cidr))),
            Self::Pod(pod) => Change::Pod(key, Some(Arc::clone(pod))),
            Self::Ignored(_) => return None,
        })
    }

    /// Whether both say the same; what is one value in memory is not looked into.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::EndpointSlice(a), Self::EndpointSlice(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Node(a), Self::Node(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::ServiceCidr(a), Self::ServiceCidr(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Pod(a), Self::Pod(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// The kinds of object that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    ServiceCidr,
    Node,
    Service,
    EndpointSlice,
    Pod,
}

impl Kind {
    /// The value of an object's `kind`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceCidr => "ServiceCIDR",
            Self::Node => "Node",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
        }
    }
}

/// Which object: there is one of each id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) kind: Kind,
    pub(super) key: ObjectKey,
}

impl Id {
    /// What tells that the object is gone.
    pub(super) fn gone(self) -> Change {
        match self.kind {
            Kind::ServiceCidr => Change::ServiceCidr(self.key, None),
            Kind::Node => Change::Node(self.key, None),
            Kind::Service => Change::Service(self.key, None),
            Kind::EndpointSlice => Change::Slice(self.key, None),
            Kind::Pod => Change::Pod(self.key, None),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.key)
    }
}
