//! The ports of a Service, as its specification lists them.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Service, ServicePort as ApiPort};

use super::{
    Frontend, FrontendKind, Notice, Protocol, Reason,
    name::{self, LABEL},
};

/// A port that can be proxied, before it is seen in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxiedPort {
    /// `name`; empty for the only port of a Service.
    pub(super) name: Arc<str>,
    /// Its protocol.
    pub(super) protocol: Protocol,
    number: u16,
    node_port: Option<u16>,
}

impl ProxiedPort {
    /// Where the port answers, given the addresses of its Service in one family; sorted, each once.
    pub(super) fn frontends(&self, vips: &[(FrontendKind, IpAddr)]) -> Box<[Frontend]> {
        let vips = vips.iter().map(|&(kind, ip)| Frontend { kind, address: Some(ip), port: self.number });
        let node_port =
            self.node_port.map(|port| Frontend { kind: FrontendKind::NodePort, address: None, port });
        let mut frontends: Vec<_> = vips.chain(node_port).collect();
        frontends.sort_unstable();
        frontends.dedup();
        frontends.into()
    }
}

/// The ports of `service` that can be proxied, the first of each name and protocol, and a notice for each of
/// the others.
pub(super) fn of_service(service: &Service) -> (Vec<ProxiedPort>, Vec<Notice>) {
    let listed = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let mut ports: Vec<ProxiedPort> = Vec::new();
    // A search through the ports for each of them would cost a Service with thousands of ports seconds.
    let mut taken = HashSet::new();
    let mut notices = Vec::new();
    for (i, entry) in listed.iter().enumerate() {
        let (reason, field, message) = match parse(entry) {
            Err((field, message)) => (Reason::InvalidPort, field, message.to_owned()),
            Ok(port) if !taken.insert((Arc::clone(&port.name), port.protocol)) => {
                let message = "an earlier port has the same name and protocol: this one is left out";
                (Reason::InvalidPort, "name", message.to_owned())
            }
            Ok(port) => {
                ports.push(port);
                continue;
            }
        };
        notices.push(Notice::service(service, reason, format!("spec.ports[{i}].{field}"), message));
    }
    (ports, notices)
}

/// A port, or the field that keeps it from being proxied and why.
fn parse(port: &ApiPort) -> Result<ProxiedPort, (&'static str, &'static str)> {
    let not_a_number = "not a port number: the port is left out";
    let protocol = Protocol::parse(port.protocol.as_deref());
    let number = u16::try_from(port.port).ok().filter(|&number| number != 0);
    let node_port = u16::try_from(port.node_port.unwrap_or(0)).ok();
    let name = port.name.as_deref().unwrap_or_default();
    name::check(name, LABEL).map_err(|_why| ("name", "not a name: the port is left out"))?;
    Ok(ProxiedPort {
        name: name.into(),
        protocol: protocol.ok_or(("protocol", "not a known protocol: the port is left out"))?,
        number: number.ok_or(("port", not_a_number))?,
        node_port: Some(node_port.ok_or(("nodePort", not_a_number))?).filter(|&port| port != 0),
    })
}
