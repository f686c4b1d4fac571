//! Where a client stands, and what that means for its choice of backends.

use crate::{
    balance::{
        place::{Edge, Place},
        tables::Tables,
    },
    family::{Address as _, Family},
    key::Hook,
    service::{
        Frontend, FrontendKind, List, Policy, SERVICE_EXTERNAL_LOCAL, SERVICE_HAS_ENDPOINTS,
        SERVICE_INTERNAL_LOCAL, SERVICE_RESTRICTED,
    },
    verdict::DropReason,
};

/// What a hook says of where clients stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Side {
    /// The node itself.
    Host,
    /// A pod of this node, if its address is one of a pod.
    Pod,
    /// Anywhere else. A pod of another node as well: a node without a local endpoint must
    /// not serve it where the policy is `Local`.
    Outside,
}

impl Side {
    /// The clients whose packets enter at `place`.
    #[inline(always)]
    pub(super) fn of(place: Place) -> Self {
        match (place.hook, place.edge) {
            (Hook::Ingress, Edge::Uplink) => Self::Outside,
            (Hook::Ingress, Edge::Pod) => Self::Pod,
            (Hook::Egress, _) => Self::Host,
        }
    }

    /// Whether `src` is a client for whom `externalTrafficPolicy: Local` counts. Traffic of
    /// this node and its pods is treated as if it had gone out to the load balancer and come
    /// back to whichever node.
    #[inline(always)]
    pub(super) fn is_outside<F: Family>(self, tables: &impl Tables<F>, src: F::Addr) -> bool {
        match self {
            Self::Host => false,
            Self::Pod => {
                let [cluster, mask] = tables.cluster_cidr();
                !src.is_in(cluster, mask)
            }
            Self::Outside => true,
        }
    }
}

/// Whether traffic to the frontend counts as internal.
#[inline(always)]
pub(crate) fn is_internal(frontend: Frontend) -> bool {
    frontend.kind == FrontendKind::ClusterIp as u32
}

/// The list that traffic to the frontend selects from.
#[inline(always)]
pub(crate) fn list(frontend: Frontend, policy: Policy, is_outside: impl FnOnce() -> bool) -> List {
    let is_local = if is_internal(frontend) {
        policy.has(SERVICE_INTERNAL_LOCAL)
    } else {
        policy.has(SERVICE_EXTERNAL_LOCAL) && is_outside()
    };
    if is_local { List::Local } else { List::Cluster }
}

/// Why nobody serves, where `list` is empty.
#[inline(always)]
pub(crate) fn nobody(policy: Policy, list: List) -> DropReason {
    if matches!(list, List::Local) && policy.has(SERVICE_HAS_ENDPOINTS) {
        DropReason::NoLocalBackend
    } else {
        DropReason::NoBackend
    }
}

/// Whether the frontend is open to some sources only.
#[inline(always)]
pub(crate) fn is_restricted(frontend: Frontend, policy: Policy) -> bool {
    frontend.kind == FrontendKind::LoadBalancer as u32 && policy.has(SERVICE_RESTRICTED)
}
