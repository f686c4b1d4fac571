//! What is different since the last time.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::{Family, Notice, ServicePortKey};

/// What [`Model::settle`](super::Model::settle) found to be different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Service ports that changed, came or went, and no others.
    pub services: BTreeSet<ServicePortKey>,
    /// Notices that did not hold before.
    pub notices: Vec<Notice>,
    /// When what led to the slices applied since happened (`endpoints.kubernetes.io/last-change-trigger-time`),
    /// by the family of their addresses, in the order of their changes. A slice that went, or that says what it said before, has none.
    pub triggers: Vec<(Family, Timestamp)>,
    /// Whether what counts of the node's own Node object is different.
    pub node_changed: bool,
    /// Whether the ranges of Services are different.
    pub cidrs_changed: bool,
    /// Whether some health check came, went, or is to tell another number.
    pub health_checks_changed: bool,
}
