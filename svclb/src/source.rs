//! Where API objects come from: what a source tells the agent.
//!
//! A source is a folder of manifests or an API server. Its first [`Batch`] is complete: every object of every
//! kind that there is. It may come in parts. From then on each batch holds what changed.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};

use crate::model::ObjectKey;

/// The new state of one object, or that it is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A Service.
    Service(ObjectKey, Option<Arc<Service>>),
    /// An EndpointSlice.
    Slice(ObjectKey, Option<Arc<EndpointSlice>>),
    /// A Node.
    Node(ObjectKey, Option<Arc<Node>>),
    /// A ServiceCIDR.
    ServiceCidr(ObjectKey, Option<Arc<ServiceCIDR>>),
    /// A Pod; an API server tells of those of this node.
    Pod(ObjectKey, Option<Arc<Pod>>),
}

/// What a source tells at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The changes, in the order in which they are to be applied.
    pub changes: Vec<Change>,
    /// Whether the source holds objects that could not be read since the agent started: what is not told may
    /// still be wanted.
    pub is_partial: bool,
    /// Whether this is a part of the first batch and more of it follows. What an object is told to be may be told anew, and
    /// that it is gone; nothing is to be done about any of it before the last part.
    pub is_part: bool,
}
