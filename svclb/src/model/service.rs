//! One port of a Service in one address family: the unit that is balanced.

use std::{fmt, sync::Arc};

use super::{Backend, Family, Frontends, Policy, Protocol};

/// What identifies a Service port. A clone shares the texts. TCP and UDP on one port number are two of them, and so are the two
/// families of a dual-stack Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortKey {
    /// `metadata.namespace` of the Service.
    pub namespace: Arc<str>,
    /// `metadata.name` of the Service.
    pub name: Arc<str>,
    /// `spec.ports[].name`; empty for the only port of a Service.
    pub port_name: Arc<str>,
    /// `spec.ports[].protocol`.
    pub protocol: Protocol,
    /// The address family of its frontends and backends.
    pub family: Family,
}

impl fmt::Display for ServicePortKey {
    /// `ns/name:port/TCP (IPv4)`; without `:port` when the port has no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        if !self.port_name.is_empty() {
            write!(f, ":{}", self.port_name)?;
        }
        write!(f, "/{} ({})", self.protocol, self.family)
    }
}

/// Where a Service port answers and where it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// Where clients reach it. Empty if other Services hold every address it claims.
    pub frontends: Frontends,
    /// Every endpoint that serves, sorted by address and port, each pair once; each says which lists it is
    /// in. New connections go to what is in a list; what is in none keeps the flows it has.
    pub backends: Vec<Backend>,
    /// How clients are treated.
    pub policy: Policy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_service_port_protocol_and_family() {
        let key = |port_name: &str| ServicePortKey {
            namespace: "shop".into(),
            name: "web".into(),
            port_name: port_name.into(),
            protocol: Protocol::Udp,
            family: Family::V6,
        };
        assert_eq!(key("dns").to_string(), "shop/web:dns/UDP (IPv6)");
        assert_eq!(key("").to_string(), "shop/web/UDP (IPv6)");
    }
}
