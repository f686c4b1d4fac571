//! What a user asked for and does not get, told so that it can be found.

use std::fmt;

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};

use super::ObjectKey;

/// A field that is ignored, contested or malformed. It never stops the rest of the object from working.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// Kind, namespace and name: `Service shop/web`.
    pub object: String,
    /// The path of the field: `spec.externalIPs[1]`.
    pub field: String,
    /// What is wrong with it and what happens instead, for a reader.
    pub message: String,
}

impl Notice {
    /// A notice about a field of a Service.
    pub(super) fn service(service: &Service, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("Service", &ObjectKey::of(&service.metadata), field.into(), message.into())
    }

    /// A notice about a field of an EndpointSlice.
    pub(super) fn slice(slice: &EndpointSlice, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("EndpointSlice", &ObjectKey::of(&slice.metadata), field.into(), message.into())
    }

    fn new(kind: &str, key: &ObjectKey, field: String, message: String) -> Self {
        Self { object: format!("{kind} {key}"), field, message }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.field, self.message)
    }
}
