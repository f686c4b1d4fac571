//! Which kinds there are.

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// As in `apiVersion`.
    pub api_version: &'static str,
    /// As in `kind`.
    pub kind: &'static str,
    /// As in paths.
    pub plural: &'static str,
}

impl Resource {
    /// Where its objects of all namespaces are listed.
    pub fn path(&self) -> String {
        format!("/{}/{}/{}", if self.is_core() { "api" } else { "apis" }, self.api_version, self.plural)
    }

    /// The API group; empty is the core group.
    pub fn group(&self) -> &'static str {
        self.api_version.split_once('/').map_or("", |(group, _version)| group)
    }

    fn is_core(&self) -> bool {
        !self.api_version.contains('/')
    }
}

/// Services.
pub const SERVICES: Resource = Resource { api_version: "v1", kind: "Service", plural: "services" };
/// Nodes.
pub const NODES: Resource = Resource { api_version: "v1", kind: "Node", plural: "nodes" };
/// `EndpointSlices`.
pub const SLICES: Resource =
    Resource { api_version: "discovery.k8s.io/v1", kind: "EndpointSlice", plural: "endpointslices" };
/// `ServiceCIDRs`.
pub const SERVICE_CIDRS: Resource =
    Resource { api_version: "networking.k8s.io/v1", kind: "ServiceCIDR", plural: "servicecidrs" };

/// Pods.
pub const PODS: Resource = Resource { api_version: "v1", kind: "Pod", plural: "pods" };

/// All kinds that can be listed and watched.
pub const ALL: [Resource; 5] = [SERVICES, NODES, SLICES, SERVICE_CIDRS, PODS];

/// Where Events are written; a namespace belongs between the two.
pub const EVENTS: (&str, &str) = ("/apis/events.k8s.io/v1/namespaces/", "/events");
