//! Which entries of connection tracking are flows of Services, and what is to be known of them.

use std::net::{IpAddr, SocketAddr};

use svclb_common::service::{BackendId, FrontendKind, ServiceId};

use crate::{
    model::Protocol,
    netfilter::entry::{Entry, SEEN_REPLY, TcpState},
    plan::FrontendEntry,
};

/// What a decision needs of the tables and of the node.
pub(super) trait Node {
    /// The frontend at an address, node ports of the node's own addresses among them.
    fn frontend(&self, to: SocketAddr, protocol: Protocol) -> Option<FrontendEntry>;
    /// The cell of a backend of the service.
    fn backend(&self, service: ServiceId, addr: SocketAddr, protocol: Protocol) -> Option<BackendId>;
    /// Whether the address is one of the node's own.
    fn is_own(&self, addr: IpAddr) -> bool;
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client has spoken.
    Begun,
    /// The backend has answered; TCP is not established.
    Answered,
    /// Both have spoken.
    Established,
}

/// A flow that the stack translates, and goes on translating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Who sends.
    pub client: SocketAddr,
    /// What it names.
    pub frontend: SocketAddr,
    /// Whom the backend sees.
    pub source: SocketAddr,
    /// Who serves.
    pub backend: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The service cell.
    pub service: ServiceId,
    /// The backend cell, while the service has that backend. TCP lives on without.
    pub cell: Option<BackendId>,
    /// How far it has come.
    pub stage: Stage,
    /// Whether the node itself is the client: no program sees its packets before they are translated.
    pub is_host: bool,
    /// Whether the backend sees an address of the node: its answers come to a port that is taken.
    pub takes_port: bool,
    /// Whether a socket call may be about it.
    pub is_by_socket: bool,
}

/// The flow of a Service that the entry is, if it lives.
pub(super) fn inherited(entry: &Entry, node: &impl Node) -> Option<Inherited> {
    let Entry { original, reply, .. } = *entry;
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol.number() == original.protocol)?;
    // A zone belongs to somebody who tells connections of one tuple apart: not kube-proxy.
    if !entry.translates_destination() || entry.zone != 0 || is_over(entry) {
        return None;
    }
    let FrontendEntry { service, kind } = node.frontend(original.dst, protocol)?;
    let cell = node.backend(service, reply.src, protocol);
    // UDP leaves a backend that is gone.
    if cell.is_none() && protocol == Protocol::Udp {
        return None;
    }
    let is_host = original.src.ip().is_loopback() || node.is_own(original.src.ip());
    Some(Inherited {
        client: original.src,
        frontend: original.dst,
        source: reply.dst,
        backend: reply.src,
        protocol,
        service,
        cell,
        stage: stage(entry),
        is_host,
        takes_port: node.is_own(reply.dst.ip()),
        is_by_socket: protocol == Protocol::Udp && (is_host || kind == FrontendKind::ClusterIp),
    })
}

/// Whether a connection has ended.
pub(super) fn is_over(entry: &Entry) -> bool {
    matches!(entry.tcp, Some(TcpState::LastAck | TcpState::TimeWait | TcpState::Closed))
}

fn stage(entry: &Entry) -> Stage {
    match entry.tcp {
        Some(TcpState::SynSent) => Stage::Begun,
        Some(TcpState::SynReceived) => Stage::Answered,
        Some(_) => Stage::Established,
        None if entry.status & SEEN_REPLY != 0 => Stage::Established,
        None => Stage::Begun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::entry::{CONFIRMED, Tuple};

    /// A node with the address 192.0.2.11 and one Service: 10.96.0.5:80 and node port 30005, behind it 10.244.2.13:8080.
    struct Fake;

    impl Node for Fake {
        fn frontend(&self, to: SocketAddr, protocol: Protocol) -> Option<FrontendEntry> {
            let kind = match (to.to_string().as_str(), protocol) {
                (_, Protocol::Sctp) => return None,
                ("10.96.0.5:80", _) => FrontendKind::ClusterIp,
                ("192.0.2.11:30005", _) => FrontendKind::NodePort,
                _ => return None,
            };
            Some(FrontendEntry { service: 7, kind })
        }
        fn backend(&self, service: ServiceId, addr: SocketAddr, _: Protocol) -> Option<BackendId> {
            (service == 7 && addr.to_string() == "10.244.2.13:8080").then_some(3)
        }
        fn is_own(&self, addr: IpAddr) -> bool {
            addr.to_string() == "192.0.2.11"
        }
    }

    const POD: &str = "10.244.1.11:40000";
    const HOST: &str = "192.0.2.11:40000";
    const OUTSIDE: &str = "192.0.2.100:40000";
    const CLUSTER: &str = "10.96.0.5:80";
    const NODE_PORT: &str = "192.0.2.11:30005";
    const BACKEND: &str = "10.244.2.13:8080";
    const GONE: &str = "10.244.2.99:8080";
    const MASQUERADED: &str = "192.0.2.11:1234";

    fn entry(protocol: u8, [client, to, backend, source]: [&str; 4]) -> Entry {
        let tuple =
            |src: &str, dst: &str| Tuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol };
        Entry {
            original: tuple(client, to),
            reply: tuple(backend, source),
            status: CONFIRMED | SEEN_REPLY,
            timeout: 100,
            tcp: (protocol == 6).then_some(TcpState::Established),
            zone: 0,
        }
    }

    /// Protocol; client, destination, who answers, to whom; what is wanted.
    type Row = (u8, [&'static str; 4], Option<[bool; 4]>);

    #[test]
    fn flows_of_services_are_inherited_and_no_others() {
        // Protocol; client, destination, who answers, to whom; is it one; is it the node's own, does it take a port of
        // the node's, may a socket call be about it, is its backend there.
        let rows: &[Row] = &[
            (6, [POD, CLUSTER, BACKEND, POD], Some([false, false, false, true])),
            (17, [POD, CLUSTER, BACKEND, POD], Some([false, false, true, true])),
            (6, [POD, CLUSTER, BACKEND, MASQUERADED], Some([false, true, false, true])),
            (6, [HOST, CLUSTER, BACKEND, HOST], Some([true, true, false, true])),
            (17, [HOST, CLUSTER, BACKEND, HOST], Some([true, true, true, true])),
            (6, [OUTSIDE, NODE_PORT, BACKEND, OUTSIDE], Some([false, false, false, true])),
            (17, [OUTSIDE, NODE_PORT, BACKEND, MASQUERADED], Some([false, true, false, true])),
            (6, ["127.0.0.1:40000", NODE_PORT, BACKEND, MASQUERADED], Some([true, true, false, true])),
            // A backend that is gone keeps its connections, and no datagrams.
            (6, [POD, CLUSTER, GONE, POD], Some([false, false, false, false])),
            (17, [POD, CLUSTER, GONE, POD], None),
            // Nothing is translated, or nothing that svclb would translate, or only the source.
            (6, [POD, CLUSTER, CLUSTER, POD], None),
            (6, [POD, "10.96.0.6:80", BACKEND, POD], None),
            (6, [POD, "10.96.0.5:81", BACKEND, POD], None),
            (132, [POD, CLUSTER, BACKEND, POD], None),
            (6, [POD, OUTSIDE, OUTSIDE, MASQUERADED], None),
            (1, [POD, CLUSTER, BACKEND, POD], None),
        ];
        for &(protocol, ends, wanted) in rows {
            let found = inherited(&entry(protocol, ends), &Fake);
            let seen = found.map(|it| [it.is_host, it.takes_port, it.is_by_socket, it.cell.is_some()]);
            assert_eq!(seen, wanted, "{protocol} {ends:?}");
        }
    }

    #[test]
    fn a_flow_stands_where_its_entry_does() {
        let states = [
            (TcpState::SynSent, Some(Stage::Begun)),
            (TcpState::SynReceived, Some(Stage::Answered)),
            (TcpState::Established, Some(Stage::Established)),
            (TcpState::FinWait, Some(Stage::Established)),
            (TcpState::CloseWait, Some(Stage::Established)),
            (TcpState::LastAck, None),
            (TcpState::TimeWait, None),
            (TcpState::Closed, None),
        ];
        let tcp = entry(6, [POD, CLUSTER, BACKEND, POD]);
        for (state, wanted) in states {
            let found = inherited(&Entry { tcp: Some(state), ..tcp }, &Fake);
            assert_eq!(found.map(|it| it.stage), wanted, "{state:?}");
        }
        let udp = entry(17, [POD, CLUSTER, BACKEND, POD]);
        let unanswered = Entry { status: CONFIRMED, ..udp };
        assert_eq!(inherited(&unanswered, &Fake).map(|it| it.stage), Some(Stage::Begun));
        assert_eq!(inherited(&Entry { zone: 1, ..tcp }, &Fake), None);
    }
}
