//! What counts of this node's own Node object.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};

use super::{Family, cidr::parse_range, parse_address};

const LABEL_ZONE: &str = "topology.kubernetes.io/zone";
/// The taint of a node that is about to be deleted.
const TAINT_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// What counts of this node's own Node object. Without one, all is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Whether there is one.
    pub exists: bool,
    /// `metadata.uid`, for Events about it.
    pub uid: String,
    /// `status.addresses` of type `InternalIP` and `ExternalIP`, in this order, unparsable ones left out.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// The label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Whether new connections from outside may be sent here: it exists, has no deletion timestamp and no taint
    /// with the key `ToBeDeletedByClusterAutoscaler` (KEP-3836).
    pub is_eligible: bool,
}

impl NodeState {
    /// What counts of `node`.
    pub(super) fn of(node: &Node) -> Self {
        let (no_spec, no_status) = (NodeSpec::default(), NodeStatus::default());
        let spec = node.spec.as_ref().unwrap_or(&no_spec);
        let status = node.status.as_ref().unwrap_or(&no_status);
        let listed = || status.addresses.iter().flatten();
        let of_type = |wanted: &'static str| {
            let texts = listed().filter(move |entry| entry.type_ == wanted);
            texts.filter_map(|entry| parse_address(&entry.address))
        };
        let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_ZONE));
        let is_tainted = spec.taints.iter().flatten().any(|taint| taint.key == TAINT_DELETED);
        Self {
            exists: true,
            uid: node.metadata.uid.clone().unwrap_or_default(),
            addresses: of_type("InternalIP").chain(of_type("ExternalIP")).collect(),
            pod_cidrs: spec.pod_cidrs.iter().flatten().filter_map(|text| parse_range(text)).collect(),
            zone: zone.filter(|zone| !zone.is_empty()).cloned(),
            is_eligible: node.metadata.deletion_timestamp.is_none() && !is_tainted,
        }
    }

    /// The first address of each family.
    pub fn primary_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let first = |family| self.addresses.iter().copied().find(move |known| Family::of(*known) == family);
        Family::ALL.into_iter().filter_map(first)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::fixture;

    fn state(node: serde_json::Value) -> NodeState {
        NodeState::of(&fixture::from_json(node))
    }

    #[test]
    fn everything_that_counts_is_read() {
        let node = json!({
            "metadata": { "name": "here", "uid": "u", "labels": { "topology.kubernetes.io/zone": "a" } },
            "spec": { "podCIDRs": ["10.244.1.0/24", "x", "fd00:244:1::/64"] },
            "status": { "addresses": [
                { "type": "ExternalIP", "address": "198.51.100.1" },
                { "type": "Hostname", "address": "192.0.2.9" },
                { "type": "InternalIP", "address": "192.0.2.1" },
                { "type": "InternalIP", "address": "here" },
                { "type": "InternalIP", "address": "2001:db8::1" },
            ] },
        });
        let expected = NodeState {
            exists: true,
            uid: "u".into(),
            addresses: ["192.0.2.1", "2001:db8::1", "198.51.100.1"].map(|it| it.parse().unwrap()).into(),
            pod_cidrs: ["10.244.1.0/24", "fd00:244:1::/64"].map(|it| it.parse().unwrap()).into(),
            zone: Some("a".into()),
            is_eligible: true,
        };
        assert_eq!(state(node), expected);
    }

    #[test]
    fn a_node_that_goes_takes_no_new_connections() {
        let taint = |key: &str| json!({ "spec": { "taints": [{ "key": key, "effect": "NoSchedule" }] } });
        let table = [
            ("plain", json!({}), true),
            ("another taint", taint("node.kubernetes.io/unschedulable"), true),
            ("about to be deleted", taint(TAINT_DELETED), false),
            ("being deleted", json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }), false),
        ];
        for (case, node, expected) in table {
            assert_eq!(state(node).is_eligible, expected, "{case}");
        }
        assert!(!NodeState::default().is_eligible);
    }
}
