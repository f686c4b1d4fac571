//! What svclb must be allowed to call.

/// What svclb must be allowed to do with one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The API group; empty is the core group.
    pub group: &'static str,
    /// The resource's plural name.
    pub resource: &'static str,
    /// The verbs of RBAC.
    pub verbs: &'static [&'static str],
}

/// Every call that this module makes, which is what a role must allow.
pub const CALLS: &[Call] = &[
    Call { group: "", resource: "services", verbs: &["list", "watch"] },
    Call { group: "", resource: "nodes", verbs: &["list", "watch"] },
    Call { group: "discovery.k8s.io", resource: "endpointslices", verbs: &["list", "watch"] },
    Call { group: "networking.k8s.io", resource: "servicecidrs", verbs: &["list", "watch"] },
    Call { group: "events.k8s.io", resource: "events", verbs: &["create", "patch"] },
];
