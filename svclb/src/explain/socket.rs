//! The decision at a socket call, beside that about packets.

use svclb_common::{config::SocketMode, verdict::DropReason, wire::Transport};

use super::{
    packet::Packet,
    report::{Explanation, Verdict},
    scene::Scene,
    story::words,
};
use crate::{
    datapath::replica::host::{Told, connect},
    model::Protocol,
};

/// What `connect` fails with.
fn error(reason: DropReason) -> &'static str {
    match svclb_common::socket::errno(reason) {
        1 => "EPERM",
        111 => "ECONNREFUSED",
        _ => "EHOSTUNREACH",
    }
}

impl Scene {
    /// What the socket of a process that calls `packet.to` is told; nothing where sockets are left alone.
    pub(super) fn socket(&self, packet: &Packet, in_host: bool) -> anyhow::Result<Option<Told>> {
        let transport = match packet.transport() {
            Some(Protocol::Tcp) => Transport::Tcp,
            Some(Protocol::Udp) => Transport::Udp,
            // No socket call of SCTP passes a program.
            Some(Protocol::Sctp) | None => return Ok(None),
        };
        let mode = self.config.socket_mode;
        let is_off = mode == SocketMode::Off as u32 || mode == SocketMode::Host as u32 && !in_host;
        if is_off || !self.ground.has_sockets() {
            return Ok(None);
        }
        Ok(Some(connect(&self.pins, &self.tables, &self.config, in_host, transport, packet.to)?))
    }

    /// Tells of the call of a process. Whether that is all: else packets are translated.
    pub(super) fn tell_socket(&self, explanation: &mut Explanation, in_host: bool) -> anyhow::Result<bool> {
        let Some(told) = self.socket(&explanation.packet, in_host)? else { return Ok(false) };
        let call = if explanation.packet.transport() == Some(Protocol::Udp) { "sendmsg" } else { "connect" };
        let detail = match told {
            Told::Kept => {
                explanation.step("socket", format!("{call} is left alone: packets are looked at one by one"));
                return Ok(false);
            }
            Told::To(backend) => {
                format!("{call} is given {backend}: packets never bear {}", explanation.packet.to)
            }
            Told::Fails(reason) => format!("{call} fails with {} ({})", error(reason), words(reason)),
        };
        if !in_host {
            explanation.step("socket", format!("of a process of the pod: {detail}"));
            explanation.step(
                "packets",
                "as below, where its socket was left alone: the pod has opted out, or has sent before",
            );
            return Ok(false);
        }
        explanation.step("socket", detail.clone());
        explanation.hook = format!("cgroup_{call}");
        explanation.program = format!("{call}{}", if explanation.packet.to.is_ipv4() { 4 } else { 6 });
        explanation.verdict = match told {
            Told::To(backend) => {
                Verdict { action: "translated", to: Some(backend.to_string()), detail, ..Verdict::default() }
            }
            Told::Fails(reason) => {
                Verdict { action: "refused", reason: Some(reason.as_str()), detail, ..Verdict::default() }
            }
            Told::Kept => Verdict::default(),
        };
        Ok(true)
    }
}
