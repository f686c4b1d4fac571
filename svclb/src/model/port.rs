//! The ports of a Service, as its specification lists them.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort as ApiPort};

use super::{Family, Frontend, FrontendKind, Notice, ObjectKey, Protocol, ServicePortKey};

/// A port that can be proxied, before it is seen in one family.
pub(super) struct ProxiedPort {
    name: String,
    protocol: Protocol,
    number: u16,
    node_port: Option<u16>,
}

impl ProxiedPort {
    /// The key of the port in `family`.
    pub(super) fn key(&self, service: &Service, family: Family) -> ServicePortKey {
        let ObjectKey { namespace, name } = ObjectKey::of(&service.metadata);
        ServicePortKey { namespace, name, port_name: self.name.clone(), protocol: self.protocol, family }
    }

    /// Where the port answers, given the addresses of its Service in one family.
    pub(super) fn frontends(&self, vips: &BTreeSet<(FrontendKind, IpAddr)>) -> BTreeSet<Frontend> {
        let vips = vips.iter().map(|&(kind, ip)| Frontend { kind, address: Some(ip), port: self.number });
        let node_port =
            self.node_port.map(|port| Frontend { kind: FrontendKind::NodePort, address: None, port });
        vips.chain(node_port).collect()
    }
}

/// The ports of `service` that can be proxied, the first of each name and protocol, and a notice for each of
/// the others.
pub(super) fn of_service(service: &Service) -> (Vec<ProxiedPort>, Vec<Notice>) {
    let listed = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let mut ports: Vec<ProxiedPort> = Vec::new();
    let mut notices = Vec::new();
    for (i, entry) in listed.iter().enumerate() {
        let (field, message) = match parse(entry) {
            Err(left_out) => left_out,
            Ok(port) if ports.iter().any(|p| p.name == port.name && p.protocol == port.protocol) => {
                ("name", "an earlier port has the same name and protocol: this one is left out")
            }
            Ok(port) => {
                ports.push(port);
                continue;
            }
        };
        notices.push(Notice::service(service, format!("spec.ports[{i}].{field}"), message));
    }
    (ports, notices)
}

/// Why a port is left out: its field, and the reason.
type LeftOut = (&'static str, &'static str);

fn parse(port: &ApiPort) -> Result<ProxiedPort, LeftOut> {
    let not_a_number = "not a port number: the port is left out";
    let protocol = match Protocol::parse(port.protocol.as_deref()) {
        Some(Protocol::Sctp) => return Err(("protocol", "SCTP is not supported yet: the port is left out")),
        Some(protocol) => protocol,
        None => return Err(("protocol", "not a known protocol: the port is left out")),
    };
    let number = u16::try_from(port.port).ok().filter(|&number| number != 0);
    let node_port = u16::try_from(port.node_port.unwrap_or(0)).ok();
    Ok(ProxiedPort {
        name: port.name.clone().unwrap_or_default(),
        protocol,
        number: number.ok_or(("port", not_a_number))?,
        node_port: Some(node_port.ok_or(("nodePort", not_a_number))?).filter(|&port| port != 0),
    })
}
