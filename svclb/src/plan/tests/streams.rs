//! Whether SCTP is served at other addresses than a ClusterIP.

use super::{
    kernel::Kernel,
    world::{address, advance, cluster_ip, key, limits, snapshot},
};
use crate::{
    model::{Family, Frontend, FrontendKind, Protocol, ServicePort, ServicePortKey},
    plan::{Applied, Readback},
};

/// A service port and its frontends.
type Served<'s> = (&'s ServicePortKey, &'s [Frontend]);

#[test]
fn services_of_sctp_come_and_go() {
    let port = |number, protocol| ServicePortKey { protocol, ..key(number) };
    let (tcp, a, b) = (port(0, Protocol::Tcp), port(0, Protocol::Sctp), port(2, Protocol::Sctp));
    let internal = cluster_ip(Family::V4, 1);
    let external = |kind| Frontend { kind, ..internal };
    let node_port = Frontend { kind: FrontendKind::NodePort, address: None, port: 30000 };
    let other = Frontend { address: Some(address(Family::V4, 2, 1)), ..external(FrontendKind::LoadBalancer) };
    // service ports with their frontends; whether there are streams then
    let steps: [(&[Served<'_>], bool); 9] = [
        (&[(&tcp, &[internal, node_port])], false),
        (&[(&tcp, &[internal, node_port]), (&a, &[internal])], false),
        (&[(&tcp, &[internal, node_port]), (&a, &[internal, node_port])], true),
        (&[(&a, &[internal]), (&b, &[other])], true),
        (&[(&a, &[external(FrontendKind::ExternalIp)])], true),
        (&[(&a, &[external(FrontendKind::LoadBalancer)])], true),
        (&[(&a, &[internal])], false),
        (&[(&b, &[internal, other])], true),
        (&[], false),
    ];
    let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
    for (step, (services, are_there)) in steps.into_iter().enumerate() {
        let services = services.iter().map(|(key, frontends)| {
            let frontends = frontends.iter().copied().collect();
            ((*key).clone(), ServicePort { frontends, ..ServicePort::default() })
        });
        kernel.write_all(&advance(&snapshot(services), &mut applied));
        assert_eq!(applied.tables(Family::V4).have_streams(), are_there, "step {step}");
        let found = Readback::new(kernel.raw.clone(), &limits()).applied;
        assert_eq!(found.tables(Family::V4).have_streams(), are_there, "step {step}, by the next agent");
        assert!(!applied.tables(Family::V6).have_streams());
    }
}
