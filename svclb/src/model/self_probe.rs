//! The Service of the agent's own, through which its self-probe goes.
//!
//! Its addresses are ones that no network routes: the dummy address of RFC 7600, and one of the range that is to be
//! discarded by RFC 6666. It has no object, and no endpoint of it is anywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Backend, BackendState, Family, Frontend, FrontendKind, Lists, Policy, Protocol, ServicePort,
    ServicePortKey, TrafficPolicy,
};

/// The port that clients name: discard (RFC 863).
pub const PORT: u16 = 9;
/// The port of the endpoint.
pub const TARGET: u16 = 10;

/// No object can have this name.
const NAMESPACE: &str = "";
const NAME: &str = "self-probe";

/// The address that clients name, and the endpoint's.
pub fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 0, 8).into(),
        Family::V6 => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8).into(),
    }
}

/// The address that the packets come from.
pub fn client(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 0, 11).into(),
        Family::V6 => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 11).into(),
    }
}

/// Whether a Service port is the agent's own, of which reports say nothing.
pub fn is_own(key: &ServicePortKey) -> bool {
    key.namespace.is_empty()
}

/// The Service's port, in both families.
pub(super) fn services() -> impl Iterator<Item = (ServicePortKey, ServicePort)> {
    Family::ALL.into_iter().map(|family| {
        let key = ServicePortKey {
            namespace: NAMESPACE.into(),
            name: NAME.into(),
            port_name: "".into(),
            protocol: Protocol::Udp,
            family,
        };
        // An address that is nobody's ClusterIP leaves alone where those are said to be.
        let kind = FrontendKind::ExternalIp;
        let backend = Backend {
            address: address(family),
            port: TARGET,
            node: None,
            local: true,
            state: BackendState::Active,
            lists: Lists { cluster: true, local: true },
            weight: 1,
        };
        let port = ServicePort {
            frontends: [Frontend { kind, address: Some(address(family)), port: PORT }].into(),
            backends: vec![backend],
            // So the client's address stays whatever is masqueraded: the program itself never sends such a packet out.
            policy: Policy { external: TrafficPolicy::Local, has_endpoints: true, ..Policy::default() },
        };
        (key, port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Settings};

    #[test]
    fn it_is_there_if_it_is_asked_for_and_looks_like_no_object_s() {
        let model = |self_probe| Model::new(Settings { self_probe, ..Settings::default() });
        assert!(model(false).services().is_empty());
        let own = model(true);
        assert_eq!(own.services().len(), 2);
        assert!(own.services().keys().all(is_own));
    }
}
