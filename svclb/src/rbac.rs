//! Every call of the agent to the API server: what it asks for is listed here, and nowhere else.
//!
//! The `ClusterRole` in `deploy/` grants exactly these; a test compares the two.

/// A resource and what is done with it, in the words of an RBAC rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name, as in the path of a request.
    pub resource: &'static str,
    /// Verbs of the API, sorted.
    pub verbs: &'static [&'static str],
    /// What the agent needs it for.
    pub why: &'static str,
}

/// The calls. All of them are for the whole cluster.
pub const CALLS: &[Call] = &[
    Call { group: "", resource: "services", verbs: &["list", "watch"], why: "frontends and their policies" },
    Call {
        group: "discovery.k8s.io",
        resource: "endpointslices",
        verbs: &["list", "watch"],
        why: "backends, their conditions and zones",
    },
    Call {
        group: "networking.k8s.io",
        resource: "servicecidrs",
        verbs: &["list", "watch"],
        why: "which addresses are Services' even when no Service has them",
    },
    Call {
        group: "",
        resource: "nodes",
        verbs: &["list", "watch"],
        why: "the agent's own node, by a field selector: addresses, zone, deletion",
    },
    Call {
        group: "",
        resource: "pods",
        verbs: &["list", "watch"],
        why: "those of the agent's own node, by a field selector: who has opted out of translation at sockets",
    },
    Call {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create", "patch"],
        why: "what an owner of a Service or a node should know; patch counts a repeated one",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_listed_once_with_sorted_verbs_and_a_reason() {
        for (index, call) in CALLS.iter().enumerate() {
            assert!(call.verbs.is_sorted() && !call.verbs.is_empty(), "{call:?}");
            assert!(!call.why.is_empty(), "{call:?}");
            let twins = CALLS[..index].iter().any(|c| (c.group, c.resource) == (call.group, call.resource));
            assert!(!twins, "{call:?}");
        }
    }
}
