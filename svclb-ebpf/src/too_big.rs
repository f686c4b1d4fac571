//! Answering a packet that is too big for its way.
//!
//! A program cannot fragment, so a sender that allows it (IPv4 without "don't fragment") is told
//! as well: its own stack then fragments, or sends less.

use svclb_common::{
    family::IpHeader as _,
    key::Hook,
    packet::{Checksum, Packet},
    refuse::{TOO_BIG_KEPT, is_partial, room, write_too_big},
    wire::{Cursor, Eth, Ports, TcpTail, Transport},
};

use crate::{entry::entries, flow, kernel::Maps, medium::Medium, pipeline::parse};

/// Bytes of the IP packet; of the largest one that it was merged of, if it was.
#[inline(always)]
pub(crate) fn size<F: Maps, M: Medium>(medium: M, packet: &Packet<'_, F>) -> u16 {
    match medium.merged() {
        0 => packet.ip.total_len(),
        payload => {
            let header = packet.l4_offset - size_of::<Eth>() + transport_len::<F, M>(medium, packet);
            (header as u32).saturating_add(payload).min(u16::MAX.into()) as u16
        }
    }
}

/// Bytes of the transport's header.
#[inline(always)]
fn transport_len<F: Maps, M: Medium>(medium: M, packet: &Packet<'_, F>) -> usize {
    match packet.transport {
        Transport::Tcp => {
            let mut rest: Cursor<'_> = medium.frame();
            rest.skip(packet.l4_offset & 127);
            let tcp = rest.take::<Ports>().and_then(|_ports| rest.take::<TcpTail>());
            tcp.map_or(size_of::<Ports>() + size_of::<TcpTail>(), |tcp| usize::from(tcp.offset >> 4) * 4)
        }
        transport => transport.header_len(),
    }
}

entries! {
    /// Turns the packet, of which nothing was changed, into the answer that its way carries so many
    /// bytes, and sends it back to where it came from. `what` is made by [`what`].
    pub(crate) fn answer(what: u32) = svclb_too_big => tell;
}

/// A hook and a size in one number.
#[inline(always)]
pub(crate) fn what(hook: Hook, mtu: u16) -> u32 {
    hook as u32 | u32::from(mtu) << 8
}

#[inline(always)]
fn tell<F: Maps, M: Medium>(medium: M, what: u32) -> i32 {
    let hook = if what & 0xff == Hook::Ingress as u32 { Hook::Ingress } else { Hook::Egress };
    let mtu = (what >> 8) as u16;
    let Some(scratch) = flow::scratch::<F>() else { return M::DROP };
    let Some(packet) = parse::<F, M>(medium, scratch.outline) else { return M::DROP };
    // What was merged is left to the device, always.
    let is_merged = medium.merged() != 0;
    if !is_merged && usize::from(packet.ip.total_len()) < TOO_BIG_KEPT {
        return M::DROP;
    }
    let is_partial = is_merged || M::MAY_BE_PARTIAL && is_partial(&packet);
    let partial = match &packet.check {
        Checksum::Sum(check) if is_partial => Some(check.0),
        _ => None,
    };
    if !medium.cut(TOO_BIG_KEPT as u32) || !medium.grow(room::<F>() as u32) {
        return M::DROP;
    }
    match write_too_big::<F>(medium.frame(), mtu, partial) {
        Ok(()) => medium.answer(hook),
        Err(_) => M::DROP,
    }
}
