//! Where a packet to a frontend goes.

use super::{Backend, FrontendKind, ServicePort, TrafficPolicy};

/// Where a client is, as far as policies care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceClass {
    /// A pod that the node knows as one of the cluster's (`--cluster-cidr`, the devices of pods).
    LocalPod,
    /// A process of this node: its source is an address of the node.
    Host,
    /// Everybody else.
    Other,
}

/// The lists that a Service port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// The endpoints of all nodes.
    Cluster,
    /// Those of this node.
    Local,
}

/// What becomes of the first packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It goes to a backend of this list, which has one.
    List(List),
    /// It is answered by a reset or by "port unreachable": no endpoint serves anywhere.
    Refuse,
    /// It is dropped in silence: other nodes have endpoints, and a load balancer that still sends here is to
    /// find that out by itself.
    Drop,
}

impl ServicePort {
    /// What becomes of the first packet that a client of class `source` sends to a frontend of that `kind`.
    ///
    /// The policy is that of the frontend. Pods and the node itself reach an external frontend under policy Local as if
    /// they had gone out to the load balancer and come back: over the endpoints of all nodes. Source ranges come before
    /// ([`Self::admits`]).
    ///
    /// | frontend, policy | pod of this node | host | other |
    /// |---|---|---|---|
    /// | ClusterIP, Cluster | cluster list | cluster list | cluster list |
    /// | ClusterIP, Local | local list | local list | local list |
    /// | external, Cluster | cluster list | cluster list | cluster list |
    /// | external, Local | cluster list | cluster list | local list |
    pub fn select(&self, kind: FrontendKind, source: SourceClass) -> Outcome {
        let list = match (kind, source) {
            (FrontendKind::ClusterIp, _) => list_of(self.policy.internal),
            (_, SourceClass::LocalPod | SourceClass::Host) => List::Cluster,
            (_, SourceClass::Other) => list_of(self.policy.external),
        };
        match self.candidates(list).next() {
            Some(_) => Outcome::List(list),
            None if self.policy.has_endpoints => Outcome::Drop,
            None => Outcome::Refuse,
        }
    }

    /// The backends of `list`, by address and port.
    pub fn candidates(&self, list: List) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(move |backend| backend.lists.contains(list))
    }

    /// Whether a client with that address may use a frontend of that `kind`: only load balancer addresses have
    /// source ranges, and those hold for every source.
    pub fn admits(&self, kind: FrontendKind, client: std::net::IpAddr) -> bool {
        kind != FrontendKind::LoadBalancer
            || self.policy.sources.as_ref().is_none_or(|sources| sources.admits(client))
    }
}

fn list_of(policy: TrafficPolicy) -> List {
    match policy {
        TrafficPolicy::Cluster => List::Cluster,
        TrafficPolicy::Local => List::Local,
    }
}
