//! Whether a flow goes on, and who a tuple belongs to.
//!
//! A flow's two entries are not always there together: a table may have made room
//! with one of them, or a tuple may have become another flow's. An entry counts as
//! the other direction of one only if it names that one back.

use crate::{
    balance::{scratch::Scratch, tables::Tables},
    family::{Address, Family},
    flow::{CLASHED, FIN, FlowEntry, Home, RST, SEEN, SPOKE, state::has_ended},
    key::FlowKey,
    service::{Frontend, FrontendKind, NODE_TAKES_OVER},
    sign::Sign,
    wire::{TcpFlags, Transport},
};

/// The established entry of a packet, unless it begins or ends a connection: such packets change what the tables know,
/// and most of them are no Service's, which the filter in front of the tables tells sooner.
#[inline(always)]
pub fn established<'t, F: Family>(
    tables: &'t impl Tables<F>,
    key: &FlowKey<F::Addr>,
    flags: TcpFlags,
) -> Option<&'t FlowEntry<F::Addr>> {
    if flags.is_midway() { tables.flow(key) } else { None }
}

/// Whether an established entry still decides this packet, or [`learn`](super::learn)
/// must look again.
///
/// UDP leaves a backend that is gone; TCP never does (Kubernetes promises that
/// established connections live on). A SYN that opens is looked at again, because
/// clients reuse ports; so is what ends a connection, because its entries then make room.
#[inline(always)]
pub fn decides<F: Family>(
    entry: &FlowEntry<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
    tables: &impl Tables<F>,
) -> bool {
    match transport {
        Transport::Tcp | Transport::Sctp => {
            !flags.any(ENDS) && (!flags.opens() || !entry.recipe.is_original())
        }
        Transport::Udp => !entry.recipe.is_original() || is_current(entry, tables),
    }
}

/// What ends a TCP connection, or one direction of it.
pub(super) const ENDS: u8 = TcpFlags::FIN | TcpFlags::RST;

/// Whether the backend that the flow was made for still exists.
#[inline(always)]
pub(super) fn is_current<F: Family>(entry: &FlowEntry<F::Addr>, tables: &impl Tables<F>) -> bool {
    tables.backend(entry.recipe.backend).is_some_and(|backend| backend.generation == entry.recipe.generation)
}

/// The entry under `key`, established or not.
#[inline(always)]
pub(crate) fn any<'t, F: Family>(
    tables: &'t impl Tables<F>,
    key: &FlowKey<F::Addr>,
) -> Option<&'t FlowEntry<F::Addr>> {
    find(tables, key, Home::Flows).map(|(_, entry)| entry)
}

/// The entry under `key` and the table that has it. The one that probably has it is asked first.
///
/// Another CPU may move it between the two looks: then it is in neither table where
/// it is looked for, and in the first one when that is asked again.
#[inline(always)]
pub(super) fn find<'t, F: Family>(
    tables: &'t impl Tables<F>,
    key: &FlowKey<F::Addr>,
    first: Home,
) -> Option<(Home, &'t FlowEntry<F::Addr>)> {
    if !tables.may_hold(key) {
        return None;
    }
    let flow = || tables.flow(key).map(|entry| (Home::Flows, entry));
    let half = || tables.half_open(key).map(|entry| (Home::HalfOpen, entry));
    match first {
        Home::Flows => flow().or_else(half).or_else(flow),
        Home::HalfOpen => half().or_else(flow).or_else(half),
    }
}

/// [`find`], if that is the other direction of the entry under `of`.
#[inline(always)]
fn opposite<'t, F: Family>(
    tables: &'t impl Tables<F>,
    key: &FlowKey<F::Addr>,
    of: &FlowKey<F::Addr>,
    first: Home,
) -> Option<(Home, &'t FlowEntry<F::Addr>)> {
    find(tables, key, first).filter(|(_, entry)| entry.recipe.names(of))
}

/// Whether the connection of a flow has ended, or nobody promises to remember it: its tuple may be another flow's.
#[inline(always)]
fn is_over<F: Family>(
    entry: &FlowEntry<F::Addr>,
    peer: Option<&FlowEntry<F::Addr>>,
    tables: &impl Tables<F>,
) -> bool {
    let number = entry.number(peer);
    has_ended(number) || entry.last(peer).wrapping_add(tables.timeout(number)) < tables.now()
}

/// Whether a packet from the client may go on with the entry that is there.
#[inline(always)]
fn continues<F: Family>(
    entry: &FlowEntry<F::Addr>,
    peer: Option<&FlowEntry<F::Addr>>,
    transport: Transport,
    flags: TcpFlags,
    tables: &impl Tables<F>,
) -> bool {
    match transport {
        Transport::Udp => is_current(entry, tables),
        Transport::Tcp | Transport::Sctp if flags.opens() => {
            let Some(peer) = peer else {
                // Nobody here sees the answers: a repeated SYN is to reach the same backend.
                let goes_on = entry.recipe.is_one_way() && is_current(entry, tables);
                return goes_on && !is_over(entry, None, tables);
            };
            // Towards a backend that is gone, a SYN that was not answered would only be
            // repeated in vain.
            let answered = peer.is_seen() && peer.last(None) >= entry.life.read().seen();
            (answered || is_current(entry, tables)) && !is_over(entry, Some(peer), tables)
        }
        Transport::Tcp | Transport::Sctp => true,
    }
}

/// Notes that a flow has left its backend, whichever direction `entry` is. Nobody counts for a backend that is gone.
#[inline(always)]
fn leave<F: Family>(tables: &impl Tables<F>, entry: &FlowEntry<F::Addr>, other: Option<&FlowEntry<F::Addr>>) {
    if entry.recipe.is_original() {
        stop_counting(tables, entry);
    } else if let Some(other) = other {
        stop_counting(tables, other);
    }
}

/// [`leave`], of the entry towards the backend. A function of its own: Linux 6.1 does not see that one of two entries is
/// there when they are one variable.
#[inline(never)]
fn stop_counting<F: Family>(tables: &impl Tables<F>, original: &FlowEntry<F::Addr>) {
    if original.life.leaves() && is_current(original, tables) {
        tables.add_active(original.recipe.backend, -1);
    }
}

/// What the tables know of a packet to a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// An entry that goes on.
    Flow,
    /// One half of a flow: `scratch` holds the backend and the port that it keeps.
    Half,
    /// Nothing that counts any more.
    Nothing,
    /// Nothing, and the packet is in the midst of a connection that may be somebody else's.
    Others,
}

/// No entry, or one that is over.
///
/// The node's own connections may use a port of the range: their answers come to a node port and are no client's. While
/// another proxy's are taken over, any may be one of them.
#[inline(always)]
fn nothing<F: Family>(
    tables: &impl Tables<F>,
    frontend: &Frontend,
    transport: Transport,
    flags: TcpFlags,
) -> Memory {
    let is_midst = transport.connects() && !flags.opens();
    let is_node_port = frontend.kind == FrontendKind::NodePort as u32;
    if is_midst && (is_node_port || tables.policy(0).has(NODE_TAKES_OVER)) {
        return Memory::Others;
    }
    Memory::Nothing
}

/// Looks for the flow of the packet in `scratch`, establishes it when both ends have
/// spoken, and forgets it if it does not go on.
///
/// Not inlined: what it holds on the stack is free again when a backend is chosen.
#[inline(never)]
pub(super) fn recall<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Memory {
    let Scratch { key, peer: peer_key, backend, sport, clashed, home, entry: copy, frontend, shown, .. } =
        scratch;
    *clashed = 0;
    // Most packets that come here have not been found among the established ones.
    let Some((own, entry)) = find(tables, key, Home::HalfOpen) else {
        return nothing(tables, frontend, transport, flags);
    };
    *home = own as u32;
    if !entry.recipe.is_original() {
        return Memory::Flow;
    }
    if entry.life.read().state() & CLASHED != 0 {
        *clashed = entry.recipe.backend.wrapping_add(1);
        stop_counting(tables, entry);
        tables.forget(key);
        return Memory::Nothing;
    }
    *peer_key = entry.recipe.peer();
    let peer = opposite(tables, peer_key, key, Home::HalfOpen).map(|(_, peer)| peer);
    if !continues(entry, peer, transport, flags, tables) {
        // Whether that is gone, or the flow just begins anew, is asked where a backend is chosen.
        (shown.former, shown.generation) = (entry.recipe.backend, entry.recipe.generation);
        leave(tables, entry, peer);
        if peer.is_some() {
            tables.forget(peer_key);
        }
        tables.forget(key);
        return nothing(tables, frontend, transport, flags);
    }
    if entry.recipe.is_one_way() {
        // The answers are not seen. A client that sends more than SYNs has had one.
        if !flags.any(TcpFlags::SYN | TcpFlags::RST) && !is_over(entry, None, tables) {
            tables.establish(key, entry, copy);
            *home = Home::Flows as u32;
        }
        return Memory::Flow;
    }
    let Some(peer) = peer else {
        // The table made room with the other entry, which is written again unless its
        // backend is gone.
        let Some(found) = tables.backend(entry.recipe.backend) else { return Memory::Flow };
        if found.generation != entry.recipe.generation {
            return Memory::Flow;
        }
        *backend = found;
        *sport = entry.recipe.sport;
        if own == Home::Flows {
            // Both entries are written where new ones are: none stays behind to be found instead.
            tables.retire(key, entry, copy);
        }
        return Memory::Half;
    };
    shown.set(unanswered(entry, peer, flags), entry.recipe.service, entry.recipe.backend);
    let speaks = peer.is_seen() && !flags.any(TcpFlags::SYN | TcpFlags::RST);
    if speaks && !is_over(entry, Some(peer), tables) {
        // The backend has answered and the client goes on. That does not prove the client's
        // address, which a forger can use twice; it keeps a flood of first packets, and
        // whatever no backend answers, from pushing out established flows.
        tables.establish(peer_key, peer, copy);
        tables.establish(key, entry, copy);
        *home = Home::Flows as u32;
    }
    Memory::Flow
}

/// The number of the sign that a reset is, if the packet is one and its direction had not finished; else 0. Without a
/// branch, for the verifier's sake.
#[inline(always)]
fn reset<A: Address>(entry: &FlowEntry<A>, flags: TcpFlags) -> u32 {
    const { assert!(SEEN == 1 && FIN == 2 && RST == 4 && TcpFlags::RST == 4) };
    const { assert!(Sign::RefusedByBackend as u32 + 1 == Sign::ResetByBackend as u32) };
    const { assert!(Sign::RefusedByBackend as u32 + 2 == Sign::ResetByClient as u32) };
    let state = entry.life.read().state();
    let is_first = !(state >> 1 | state >> 2) & 1;
    let is_reset = u32::from(flags.0) >> 2 & 1;
    let is_reply = entry.recipe.reply_bit();
    let sign = Sign::RefusedByBackend as u32 + 2 * (is_reply ^ 1) + (state & is_reply & 1);
    sign * (is_first & is_reset)
}

/// The number of [`Sign::Unanswered`], if the packet opens a connection, one like it has passed, and nothing came back;
/// else 0. As above.
#[inline(always)]
fn unanswered<A: Address>(entry: &FlowEntry<A>, peer: &FlowEntry<A>, flags: TcpFlags) -> u32 {
    const { assert!(TcpFlags::SYN == 2 && TcpFlags::ACK == 16) };
    let bits = u32::from(flags.0);
    let opens = bits >> 1 & !(bits >> 2) & !(bits >> 4) & 1;
    // The program in front of the stack may have opened the flow for this very packet: then none has passed.
    let (client, backend) = (entry.life.read().state(), peer.life.read().state());
    Sign::Unanswered as u32 * (opens & client & !backend & SEEN)
}

/// Whether the packet in `scratch`, which ends a connection or one direction of it, is of one that the
/// tables know. One that has ended leaves the table of established flows: its last
/// packets still find it, and it pushes out nobody who lives.
#[inline(never)]
pub(super) fn ends<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    flags: TcpFlags,
) -> bool {
    let Scratch { key, peer: peer_key, home, entry: copy, shown, .. } = scratch;
    let Some((own, entry)) = find(tables, key, Home::Flows) else { return false };
    *home = own as u32;
    shown.set(reset(entry, flags), entry.recipe.service, entry.recipe.backend);
    *peer_key = entry.recipe.peer();
    let Some((other, peer)) = opposite(tables, peer_key, key, Home::Flows) else {
        // The table made room with the other entry. This one still says where the end of the
        // connection goes, unless the client goes on: then the other is written again.
        if flags.any(TcpFlags::RST) && entry.recipe.is_one_way() && own == Home::Flows {
            tables.retire(key, entry, copy);
            *home = Home::HalfOpen as u32;
        }
        return flags.any(TcpFlags::RST) || !entry.recipe.is_original() || entry.recipe.is_one_way();
    };
    if flags.any(TcpFlags::RST) || peer.is_finished() {
        leave(tables, entry, Some(peer));
        if other == Home::Flows {
            tables.retire(peer_key, peer, copy);
        }
        if own == Home::Flows {
            tables.retire(key, entry, copy);
            *home = Home::HalfOpen as u32;
        }
    }
    true
}

/// Whether the packet in `scratch`, which goes to no Service, has an entry that decides it: from a backend, most likely.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
pub(super) fn is_answer<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> bool {
    let Scratch { key, peer: peer_key, home, .. } = scratch;
    let Some((own, entry)) = find(tables, key, Home::HalfOpen) else { return false };
    if !decides(entry, transport, flags, tables) {
        return false;
    }
    *home = own as u32;
    let may_be_anothers = transport == Transport::Tcp && flags.is_midway() && own == Home::HalfOpen;
    if may_be_anothers && is_anothers(tables, key, entry, peer_key) {
        tables.forget(key);
        return false;
    }
    true
}

/// Whether a packet that neither begins nor ends anything, and has found `entry`, is of a connection that the client has
/// with the backend by its own address, and from the port that it uses for a new flow to a Service as well. The kernel
/// gives a port to several connections as long as their other ends differ, and nobody here knows of those that are no
/// Service's. A backend that has such a connection answers the SYN by a bare ACK (RFC 9293, section 3.10.7.4), which the
/// client's socket for the Service would answer by a reset, and that would end the other connection. So the flow lets go
/// of the tuple, and the next SYN finds another one, as after any clash. A client that has forgotten such a connection
/// resets it by itself.
#[inline(always)]
fn is_anothers<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
    peer_key: &mut FlowKey<F::Addr>,
) -> bool {
    if entry.recipe.is_original() || entry.is_seen() || !entry.recipe.keeps_destination(key) {
        return false;
    }
    *peer_key = entry.recipe.peer();
    let Some((_, original)) = opposite(tables, peer_key, key, Home::HalfOpen) else { return false };
    let is_new = original.life.read().state() & SPOKE == 0;
    if is_new {
        original.life.clashes();
    }
    is_new
}

/// Frees `scratch.peer` for a flow that begins with `scratch.key`: takes it from one that
/// is over, both entries at once, so that no packet of that one uses the tuple any more.
#[inline(always)]
pub fn claim<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    let Scratch { key, peer, other, clashed, backend, .. } = scratch;
    if *clashed == backend.id.wrapping_add(1) && peer.dport == key.sport {
        return false;
    }
    let Some(taken) = any(tables, peer) else { return true };
    if !taken.recipe.names(key) {
        *other = taken.recipe.peer();
        let opposite = opposite(tables, other, peer, Home::Flows).map(|(_, entry)| entry);
        if !is_over(taken, opposite, tables) {
            return false;
        }
        leave(tables, taken, opposite);
        if opposite.is_some() {
            tables.forget(other);
        }
    }
    tables.forget(peer);
    true
}
