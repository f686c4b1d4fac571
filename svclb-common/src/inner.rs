//! What travels in other packets and is not plain: ICMP messages, fragments, headers with options.

use crate::{
    balance::{Scratch, Tables, follow_inner},
    encap::{Carry, Encapsulation},
    family::{IpHeader as _, Upper},
    icmp::{Icmp, Message},
    key::{FlowKey, Hook},
    outline::{HEADERS, Outline},
    packet::{Packet, Unparsed},
    wire::{Cursor, Eth, Ports, TcpFlags, Transport, UdpTail},
};

/// Bytes of a frame that hold all that is read: [`HEADERS`], which are more than those of a message, and the
/// headers around, IPv6 and UDP.
pub const AROUND_HEADERS: u32 = HEADERS + 40 + 8;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// Nothing that is to be taken out of it.
    Other,
    /// An error about an answer of a backend of this node.
    Message,
    /// A fragment without a transport header, of a datagram to a backend of this node.
    Later,
    /// A packet whose key and outline are in the scratch value, and nothing is known of it.
    Packet,
}

/// Looks for such a packet in the one that `frame` holds. What it is in is in `scratch` then.
#[inline(always)]
pub fn look<F: Icmp + Carry, T: Tables<F>>(
    tables: &T,
    frame: Cursor<'_>,
    scratch: &mut Scratch<F::Addr>,
) -> Inner {
    let found = find(tables, frame, scratch).unwrap_or(Inner::Other);
    if found == Inner::Other {
        // It goes on as the datagram that it is, if it is one.
        scratch.outline = Outline::plain(Transport::Udp);
    }
    found
}

#[inline(always)]
fn find<F: Icmp + Carry, T: Tables<F>>(
    tables: &T,
    mut rest: Cursor<'_>,
    scratch: &mut Scratch<F::Addr>,
) -> Result<Inner, Unparsed> {
    let eth = rest.take::<Eth>().ok_or(Unparsed::Short)?;
    let outer = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
    let encapsulation = match F::carried(outer) {
        Some(number) if number == F::IN_IP => Encapsulation::Ip,
        Some(number) if number == Transport::Udp.number() => {
            rest.skip(size_of::<Ports>() + size_of::<UdpTail>());
            Encapsulation::Gue
        }
        _ => return Err(Unparsed::Foreign),
    };
    let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
    let (to, around) = (outer.dst(), encapsulation.overhead::<F>() as u32);
    scratch.set_inner(to, around, TcpFlags::default());
    match ip.upper() {
        Upper::Icmp(options) => {
            let message = Message::<F>::behind(eth, ip, rest, options)?;
            Ok(if message.is_for_backend(tables, scratch) { Inner::Message } else { Inner::Other })
        }
        Upper::Fragment | Upper::Extended => {
            let outline = Outline::of::<F>(ip, &rest)?;
            scratch.outline = outline;
            if outline.is_headless() {
                let (proto, hook) = (outline.proto, Hook::Ingress as u8);
                scratch.key =
                    FlowKey { src: ip.src(), dst: ip.dst(), sport: 0, dport: 0, proto, hook, pad: 0 };
                return Ok(if follow_inner(tables, scratch) { Inner::Later } else { Inner::Other });
            }
            let packet = Packet::<F>::behind(eth, ip, rest, outline)?;
            scratch.key = packet.flow(Hook::Ingress);
            scratch.set_inner(to, around, packet.flags);
            Ok(Inner::Packet)
        }
        Upper::Transport(_) | Upper::Tunnel | Upper::Other => Err(Unparsed::Foreign),
    }
}
