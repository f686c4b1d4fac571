//! Where a client stands, and what that means for its choice of backends and for the address
//! that they see.

use crate::{
    balance::{
        place::{Edge, Place},
        tables::Tables,
    },
    client::ANY_DEVICE,
    config::{MASQUERADE_ALL, MASQUERADE_COMPAT},
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

    /// Whether a client of this class is one for whom `externalTrafficPolicy: Local` counts. Traffic
    /// of this node and its pods is treated as if it had gone out to the load balancer and come
    /// back to whichever node.
    #[inline(always)]
    pub(super) fn is_outside(self, class: Option<Class>) -> bool {
        match self {
            Self::Host => false,
            // Where nobody is told apart, the device tells.
            Self::Pod => class == Some(Class::Other),
            Self::Outside => true,
        }
    }

    /// What the client behind device `ifindex` with address `src` is; nothing if nobody is told
    /// apart (kube-proxy without a detector).
    #[inline(always)]
    pub(super) fn class<F: Family>(
        self,
        tables: &impl Tables<F>,
        ifindex: u32,
        src: F::Addr,
    ) -> Option<Class> {
        let pods = tables.pods_behind(ifindex)?;
        Some(match self {
            Self::Host => Class::Host,
            _ if src.is_in(pods.addr, pods.mask) => Class::LocalPod,
            _ => Class::Other,
        })
    }
}

/// kube-proxy's classes of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A pod of the cluster, as far as the way to tell shows it.
    LocalPod,
    /// The node itself.
    Host,
    /// Anybody else.
    Other,
}

/// Whether a flow is masqueraded: its backend sees the node's address on the way to it, unless
/// that is the client's own or the backend is in the node's own network.
///
/// `all` is `--masquerade-all`, `compat` is `--masquerade=compat`. Without the latter the client's
/// address is kept wherever the answer comes back to us: see [`path`](super::path::path), which
/// gives it up where it does not. A pod that reaches itself is another matter, and there too.
#[inline(always)]
pub(super) fn masquerades(
    side: Side,
    class: Option<Class>,
    frontend: Frontend,
    policy: Policy,
    all: bool,
    compat: bool,
) -> bool {
    if is_internal(frontend) {
        return all || compat && class.is_some_and(|class| class != Class::LocalPod);
    }
    // The node's own packets may bear an address that leads nobody back, such as that of a bridge
    // where the node port was called. Others are short-circuited or sent to this node's backends.
    side == Side::Host || compat && !policy.has(SERVICE_EXTERNAL_LOCAL)
}

/// Whether it makes a difference to [`masquerades`] or [`list`] of which class a client on `side` is.
#[inline(always)]
pub(super) fn class_counts<F: Family>(
    tables: &impl Tables<F>,
    side: Side,
    frontend: Frontend,
    policy: Policy,
) -> bool {
    if is_internal(frontend) {
        tables.is_set(MASQUERADE_COMPAT)
    } else {
        side == Side::Pod && policy.has(SERVICE_EXTERNAL_LOCAL)
    }
}

/// [`masquerades`] for the settings of `tables`.
#[inline(always)]
pub(super) fn is_masqueraded<F: Family>(
    tables: &impl Tables<F>,
    side: Side,
    class: Option<Class>,
    frontend: Frontend,
    policy: Policy,
) -> bool {
    let (all, compat) = (tables.is_set(MASQUERADE_ALL), tables.is_set(MASQUERADE_COMPAT));
    masquerades(side, class, frontend, policy, all, compat)
}

/// Whether a pod's own address may decide what its flows to `frontend` look like; a socket does not
/// have one yet.
#[inline(always)]
pub(crate) fn may_masquerade_pods<F: Family>(
    tables: &impl Tables<F>,
    frontend: Frontend,
    policy: Policy,
) -> bool {
    let anybody = if tables.pods_behind(ANY_DEVICE).is_some() { Some(Class::Other) } else { None };
    is_masqueraded(tables, Side::Pod, anybody, frontend, policy)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Section "frontends and path decision" of kube-proxy's behaviour, with a detector: who is
    /// masqueraded. `LocalPod`, `Host`, `Other`.
    const TABLE: [(&[FrontendKind], u32, [bool; 3]); 4] = [
        (&[FrontendKind::ClusterIp], 0, [false, true, true]),
        (&[FrontendKind::ClusterIp], SERVICE_INTERNAL_LOCAL, [false, true, true]),
        (&EXTERNAL, 0, [true, true, true]),
        (&EXTERNAL, SERVICE_EXTERNAL_LOCAL, [false, true, false]),
    ];

    const EXTERNAL: [FrontendKind; 3] =
        [FrontendKind::NodePort, FrontendKind::ExternalIp, FrontendKind::LoadBalancer];

    const CLIENTS: [(Side, Class); 3] =
        [(Side::Pod, Class::LocalPod), (Side::Host, Class::Host), (Side::Outside, Class::Other)];

    fn rows() -> impl Iterator<Item = (Frontend, Policy, Side, Class, bool)> {
        let cells = TABLE.into_iter().flat_map(|(kinds, flags, right)| {
            kinds.iter().map(move |kind| (Frontend { service: 1, kind: *kind as u32 }, flags, right))
        });
        cells.flat_map(|(frontend, flags, right)| {
            let policy = Policy { flags, affinity: 0 };
            let cell = move |((side, class), right)| (frontend, policy, side, class, right);
            CLIENTS.into_iter().zip(right).map(cell)
        })
    }

    #[test]
    fn compat_is_kube_proxys_table() {
        for (frontend, policy, side, class, right) in rows() {
            let context = (frontend, policy.flags, side);
            assert_eq!(masquerades(side, Some(class), frontend, policy, false, true), right, "{context:?}");
            let all = masquerades(side, Some(class), frontend, policy, true, true);
            assert_eq!(all, right || is_internal(frontend), "{context:?}");
            // Without a detector ClusterIPs are nobody's to masquerade.
            let blind = masquerades(side, None, frontend, policy, false, true);
            assert_eq!(blind, right && !is_internal(frontend), "{context:?}");
        }
    }

    #[test]
    fn by_default_only_the_node_itself_is_masqueraded() {
        for (frontend, policy, side, class, _) in rows() {
            for class in [Some(class), None] {
                let is_masqueraded = masquerades(side, class, frontend, policy, false, false);
                assert_eq!(is_masqueraded, side == Side::Host && !is_internal(frontend));
                assert_eq!(
                    masquerades(side, class, frontend, policy, true, false),
                    is_masqueraded || is_internal(frontend)
                );
            }
        }
    }

    #[test]
    fn a_stranger_behind_a_pods_device_is_outside() {
        assert!(Side::Pod.is_outside(Some(Class::Other)));
        assert!(!Side::Pod.is_outside(Some(Class::LocalPod)));
        assert!(!Side::Pod.is_outside(None), "who is behind it is a pod");
        assert!(Side::Outside.is_outside(Some(Class::LocalPod)), "a pod of another node");
        assert!(!Side::Host.is_outside(Some(Class::Host)));
    }
}
