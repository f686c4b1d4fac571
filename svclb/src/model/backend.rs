//! Where a Service port sends its traffic.

use std::{net::IpAddr, sync::Arc};

use super::List;

/// What a backend may still be used for (EndpointSlice `endpoints[].conditions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendState {
    /// Ready, also when it terminates at the same time (`publishNotReadyAddresses`).
    Active,
    /// Not ready, and still serving. While it terminates it is used where no endpoint is ready; otherwise it
    /// keeps the flows that it has.
    Terminating,
}

impl BackendState {
    /// The name in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Terminating => "terminating",
        }
    }
}

/// An address and port that traffic is sent to: one endpoint of one Service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// The endpoint's first address, of the family of the Service port.
    pub address: IpAddr,
    /// The endpoint's own port number, never 0. Endpoints of one Service port may differ in it.
    pub port: u16,
    /// The node it runs on, if its EndpointSlice says so (`endpoints[].nodeName`).
    pub node: Option<Arc<str>>,
    /// Whether that node is this one.
    pub local: bool,
    /// What it may still be used for.
    pub state: BackendState,
    /// Which lists it is in.
    pub lists: Lists,
    /// Its share of the traffic in relation to the others of a list, from 1 (the default) to 100. With 0 it gets nothing new,
    /// and is in no list.
    pub weight: u8,
}

/// The lists of a Service port that a backend is in (kube-proxy's `CategorizeEndpoints`). A backend in none
/// of them serves, and gets no new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lists {
    /// What traffic under policy Cluster is balanced over.
    pub cluster: bool,
    /// What traffic under policy Local is balanced over.
    pub local: bool,
}

impl Lists {
    /// In the cluster list alone.
    pub const CLUSTER: Self = Self { cluster: true, local: false };

    /// Whether it is in that one.
    pub fn contains(self, list: List) -> bool {
        match list {
            List::Cluster => self.cluster,
            List::Local => self.local,
        }
    }
}
