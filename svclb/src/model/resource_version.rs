//! Which state of an object counts.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `metadata.resourceVersion`, for who is told what the state of things follows from. All are equal: that an object has
/// another one changes nothing by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceVersion(u64);

impl ResourceVersion {
    /// That of an object; nothing for one that no API server has seen, or that is no number.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self(meta.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0))
    }
}

impl PartialEq for ResourceVersion {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl fmt::Display for ResourceVersion {
    /// The number; empty where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { self.0.fmt(f) }
    }
}
