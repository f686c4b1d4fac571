//! What a load balancer is told of a Service on this node.

/// The health check of a Service of type LoadBalancer with `externalTrafficPolicy: Local`
/// (`spec.healthCheckNodePort`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCheck {
    /// `spec.healthCheckNodePort`, never 0.
    pub port: u16,
    /// Distinct addresses of ready endpoints on this node, over all ports of the Service: of IPv4, if the
    /// Service has that family.
    pub v4: Option<usize>,
    /// The same of IPv6.
    pub v6: Option<usize>,
}
