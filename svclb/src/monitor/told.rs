//! An event with the names of what it is about.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use svclb_common::{
    event::{Event, Program},
    sign::{Cause, Sign},
    verdict::DropReason,
};

use super::names::Names;
use crate::{
    datapath::recorder::wall,
    model::{Family, ServicePortKey},
};

/// An event with names.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    /// When it happened.
    time: String,
    #[serde(skip)]
    pub(super) timestamp: Timestamp,
    /// `drop`, `refuse`, `reset`, `silence`, `error` or `switch`.
    kind: &'static str,
    pub(super) reason: &'static str,
    explanation: &'static str,
    protocol: String,
    source: SocketAddr,
    destination: SocketAddr,
    /// None if it is about no Service, or about one that is gone.
    namespace: Option<String>,
    name: Option<String>,
    port_name: Option<String>,
    backend: Option<String>,
    /// Which backend the client had before.
    former_backend: Option<String>,
    device: String,
    /// `pod` or `uplink`, if the device carries programs.
    role: &'static str,
    /// `ingress`, `egress`, `xdp` or `socket`.
    program: &'static str,
    /// Bytes of the packet from the link's header on.
    packet_bytes: u32,
    /// What the way carries that the packet is too large for.
    mtu: Option<u32>,
    /// How many writes to tables the agent had made.
    tables_version: u64,
}

impl Told {
    /// An event with the names of now; `None` if this build does not know what it is.
    pub(super) fn new(event: &Event, names: &Names) -> Option<Self> {
        let cause = Cause::of(event.reason)?;
        let family = if event.family == AF_INET { Family::V4 } else { Family::V6 };
        let tables = names.applied.tables(family);
        let key: Option<&ServicePortKey> =
            tables.service(event.service).filter(|_| event.service != 0).and_then(|entry| entry.key.as_ref());
        let backend = |id| {
            let entry = tables.backend(id).filter(|_| id != 0)?;
            Some(SocketAddr::new(entry.key.address, entry.key.port).to_string())
        };
        let former = if cause == Cause::Sign(Sign::BackendSwitched) { event.detail } else { 0 };
        let program = match Program::of(event.program)? {
            Program::Ingress => "ingress",
            Program::Egress => "egress",
            Program::Xdp => "xdp",
            Program::Socket => "socket",
        };
        let (device, role) =
            if event.ifindex == 0 { (String::new(), "") } else { names.device(event.ifindex) };
        let end = |bytes, port| SocketAddr::new(address(event.family, bytes), u16::from_be(port));
        let timestamp = Timestamp::try_from(wall(event.time)).unwrap_or_default();
        Some(Self {
            time: format!("{timestamp:.3}"),
            timestamp,
            kind: cause.kind(),
            reason: cause.as_str(),
            explanation: cause.explanation(),
            protocol: protocol(event.proto),
            source: end(event.src, event.sport),
            destination: end(event.dst, event.dport),
            namespace: key.map(|key| key.namespace.as_ref().into()),
            name: key.map(|key| key.name.as_ref().into()),
            port_name: key.map(|key| key.port_name.as_ref().into()),
            backend: backend(event.backend),
            former_backend: if former == 0 {
                None
            } else {
                Some(backend(former).unwrap_or_else(|| "one that is gone".into()))
            },
            device,
            role,
            program,
            packet_bytes: event.length,
            mtu: (cause == Cause::Drop(DropReason::TooBig) && event.detail != 0).then_some(event.detail),
            tables_version: event.version,
        })
    }

    /// Whether it is about that Service.
    pub(super) fn is_of(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref() == Some(namespace) && self.name.as_deref() == Some(name)
    }

    /// Where its packet came from.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where its packet was sent to.
    pub(super) fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The name of its device; empty at a socket.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The Service port: `default/web:http`.
    fn service(&self) -> String {
        match (&self.namespace, &self.name, self.port_name.as_deref()) {
            (Some(namespace), Some(name), None | Some("")) => format!("{namespace}/{name}"),
            (Some(namespace), Some(name), Some(port)) => format!("{namespace}/{name}:{port}"),
            _ => "no Service".into(),
        }
    }

    /// Where it was seen: `uplink eth0 ingress (xdp)`.
    fn place(&self) -> String {
        let hook = match self.program {
            "xdp" => "ingress (xdp)",
            "socket" => return "at a socket".into(),
            hook => hook,
        };
        format!("{} {} {hook}", self.role, self.device).trim_start().into()
    }

    /// What a file of packets says beside its packet.
    pub(super) fn comment(&self) -> String {
        format!(
            "svclb: {} at {}, {}{}: {}",
            self.reason,
            self.place(),
            self.service(),
            self.more(),
            self.explanation
        )
    }

    /// What else is known.
    fn more(&self) -> String {
        let backend = self.backend.as_ref().map(|backend| format!(", backend {backend}"));
        let former = self.former_backend.as_ref().map(|former| format!(", before {former}"));
        let size = self.mtu.map(|mtu| {
            let bytes = self.packet_bytes.saturating_sub(ETHERNET);
            format!(", {bytes} bytes where {mtu} go")
        });
        [backend, former, size].into_iter().flatten().collect()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, kind, reason, source, destination, protocol, explanation, .. } = self;
        // The day is known to who follows; JSON has it.
        let time = time.get(11..23).unwrap_or(time);
        let (service, place, more) = (self.service(), self.place(), self.more());
        write!(
            f,
            "{time} {kind:<7} {reason}  {source} -> {destination}/{protocol}  {service}{more}  {place}: {explanation}"
        )
    }
}

const AF_INET: u8 = 2;
const ETHERNET: u32 = 14;

fn address(family: u8, bytes: [u8; 16]) -> IpAddr {
    match bytes {
        [a, b, c, d, ..] if family == AF_INET => [a, b, c, d].into(),
        _ => bytes.into(),
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        other => other.to_string(),
    }
}
