//! What a user asked for and does not get, told so that it can be found.

use std::fmt;

use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::ObjectKey;

/// The kind of an API object that a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `EndpointSlice` of `discovery.k8s.io/v1`.
    EndpointSlice,
    /// `Service` of `v1`.
    Service,
    /// `ServiceCIDR` of `networking.k8s.io/v1`.
    ServiceCidr,
}

impl ObjectKind {
    /// The API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndpointSlice => "EndpointSlice",
            Self::Service => "Service",
            Self::ServiceCidr => "ServiceCIDR",
        }
    }

    /// The API's group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Service => "v1",
            Self::ServiceCidr => "networking.k8s.io/v1",
        }
    }
}

/// Why there is a notice: the `reason` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Another Service port has the address and port already.
    AddressConflict,
    /// Something that is no address, or of no family of the Service.
    InvalidAddress,
    /// An affinity timeout that the API does not allow.
    InvalidAffinityTimeout,
    /// An algorithm that nobody knows.
    InvalidAlgorithm,
    /// Something that is no name.
    InvalidName,
    /// A port that cannot be proxied.
    InvalidPort,
    /// Something that is no range of addresses.
    InvalidRange,
    /// A number of new flows that is none.
    InvalidRate,
    /// A weight that is none.
    InvalidWeight,
    /// A health check that a load balancer needs and that has no port.
    NoHealthCheckPort,
    /// A valid value that the datapath does not act on yet.
    NotHonoured,
    /// Source ranges leave a family open.
    OpenFamily,
}

impl Reason {
    /// The word in Events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressConflict => "AddressConflict",
            Self::InvalidAddress => "InvalidAddress",
            Self::InvalidAffinityTimeout => "InvalidAffinityTimeout",
            Self::InvalidAlgorithm => "InvalidAlgorithm",
            Self::InvalidName => "InvalidName",
            Self::InvalidPort => "InvalidPort",
            Self::InvalidRange => "InvalidRange",
            Self::InvalidRate => "InvalidRate",
            Self::InvalidWeight => "InvalidWeight",
            Self::NoHealthCheckPort => "NoHealthCheckPort",
            Self::NotHonoured => "NotHonoured",
            Self::OpenFamily => "OpenFamily",
        }
    }
}

/// A field that is ignored, contested or malformed. It never stops the rest of the object from working.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// Its namespace and name.
    pub object: ObjectKey,
    /// The path of the field: `spec.externalIPs[1]`.
    pub field: String,
    /// What sort of trouble it is.
    pub reason: Reason,
    /// What is wrong with it and what happens instead, for a reader.
    pub message: String,
    /// `metadata.uid` of the object; a manifest has none.
    pub uid: Option<String>,
}

impl Notice {
    /// A notice about a field of a Service.
    pub(super) fn service(
        service: &Service,
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(ObjectKind::Service, &service.metadata, reason, field.into(), message.into())
    }

    /// A notice about a field of an EndpointSlice.
    pub(super) fn slice(
        slice: &EndpointSlice,
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(ObjectKind::EndpointSlice, &slice.metadata, reason, field.into(), message.into())
    }

    /// A notice about a field of any object.
    pub(super) fn new(
        kind: ObjectKind,
        metadata: &ObjectMeta,
        reason: Reason,
        field: String,
        message: String,
    ) -> Self {
        let (object, uid) = (ObjectKey::of(metadata), metadata.uid.clone());
        Self { kind, object, field, reason, message, uid }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}: {}", self.kind.as_str(), self.object, self.field, self.message)
    }
}
