//! From a packet without an established flow to a flow, or to a refusal.
//!
//! This is the cold half of the datapath: it runs for the first packets of a flow
//! and for packets that are no Service's. It knows tables by a trait, so that the
//! host's tests run exactly what the kernel runs.
//!
//! | module | noun |
//! |---|---|
//! | [`tables`] | the tables of a family, as a trait |
//! | [`place`] | the device and the hook that a program runs at |
//! | [`scratch`] | working memory that the caller lends |
//! | [`source`] | where a client stands, which list of backends that means, and which address they see |
//! | [`choice`] | what a first packet may choose from |
//! | [`affinity`] | the backend that a client comes back to |
//! | [`pick`] | the place in a list that a new flow is given |
//! | [`life`] | whether a flow goes on; who a tuple belongs to |
//! | [`part`] | fragments, and headers that are not the usual ones |
//! | [`path`] | how the two directions of a flow go |
//! | [`told`] | what the working memory tells afterwards |
//! | [`ports`] | a free source port |
//! | [`open`] | a new flow: its backend, its port, its entries |
//! | [`tunnel`] | backends that answer outside clients by themselves |
//! | [`vacant`] | addresses and ports of Services that no Service has |

mod affinity;
mod choice;
mod life;
mod open;
mod part;
mod path;
mod pick;
mod place;
mod ports;
mod scratch;
mod source;
mod tables;
#[cfg(feature = "user")]
mod told;
mod tunnel;
mod vacant;

use crate::{
    encap::Carry,
    family::{Address as _, Family},
    key::{FlowKey, FrontendKey, Hook},
    service::{Frontend, FrontendKind, LOCAL_NODE_PORTS},
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};
use life::{ENDS, Memory, ends, recall};

pub(crate) use affinity::{NOWHERE, remember, returns};
pub use choice::ask;
pub(crate) use life::any;
pub use life::{claim, decides, established};
pub use part::{follow, follow_inner, learn_part};
pub(crate) use pick::pick;
pub use place::{Edge, LOOPBACK_IFINDEX, Place};
pub use ports::find_port;
pub use scratch::{Scratch, Scratches, Shown};
pub(crate) use source::{is_restricted, list, may_masquerade_pods, nobody};
pub use tables::{PutError, Repeat, Route, STEPS, Tables};
#[cfg(feature = "user")]
pub use told::Told;
pub(crate) use vacant::vacant;

/// What became of a packet without an established flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is not to or from a Service: the stack's business.
    NotOurs,
    /// The flow tables now hold what to do with it.
    Known,
    /// Nobody serves there; say so to the sender.
    Refused(DropReason),
    /// It goes nowhere.
    Dropped(DropReason),
}

/// Finds or makes the flow of a packet that no established entry decides. The
/// packet's key is in `scratch`.
#[inline(always)]
pub fn learn<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    // Asked for anew each time: the verifier would follow all that comes after once for each answer.
    if is_inner(place, scratch) {
        tunnel::settle(tables, scratch, transport, flags);
    }
    if flags.any(ENDS) && ends(tables, scratch, flags) {
        return Learned::Known;
    }
    let is_towards = translates_towards(tables, place, &scratch.key);
    let is_frontend = if is_inner(place, scratch) {
        tunnel::find_frontend(tables, scratch, transport)
    } else {
        is_towards && find_frontend(tables, place.hook, scratch, transport)
    };
    if !is_frontend {
        let learned = answer(tables, place, scratch, transport, flags);
        let is_new = transport == Transport::Udp || flags.opens();
        return match learned {
            Learned::NotOurs if is_towards && is_new && !is_inner(place, scratch) => {
                match vacant(tables, &scratch.key.dst) {
                    Some(DropReason::UnknownPort) => Learned::Refused(DropReason::UnknownPort),
                    Some(reason) => Learned::Dropped(reason),
                    None => Learned::NotOurs,
                }
            }
            learned => learned,
        };
    }
    match recall(tables, scratch, transport, flags) {
        Memory::Flow => Learned::Known,
        Memory::Others if !is_inner(place, scratch) => Learned::NotOurs,
        // A reset of nothing opens nothing, and the stack would send it astray.
        Memory::Nothing if flags.any(TcpFlags::RST) => Learned::Dropped(DropReason::StrayReset),
        memory => {
            scratch.set_kept(memory == Memory::Half);
            if is_inner(place, scratch) {
                tunnel::open(tables, scratch)
            } else {
                open::open(tables, place, scratch)
            }
        }
    }
}

/// Whether the packet in `scratch` came in another one.
#[inline(always)]
fn is_inner<A: crate::family::Address>(place: Place, scratch: &Scratch<A>) -> bool {
    place.takes_others() && scratch.around() != 0
}

/// Whether this hook translates the packet towards services.
#[inline(always)]
fn translates_towards<F: Family, T: Tables<F>>(tables: &T, place: Place, key: &FlowKey<F::Addr>) -> bool {
    // No socket call of SCTP passes a program: its packets are all there is.
    let is_host = tables.translates_host_packets() || key.proto == Transport::Sctp.number();
    place.hook == Hook::Ingress || is_host && is_own(tables, key)
}

/// Whether the node itself has sent the packet.
#[inline(never)]
fn is_own<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F::Addr>) -> bool {
    key.src.is_loopback() || tables.is_local(key.src)
}

/// Puts the frontend into `scratch` that its packet is sent to, if there is one. Not
/// inlined, for the stack's sake.
#[inline(never)]
fn find_frontend<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
) -> bool {
    let Scratch { key, frontend, .. } = scratch;
    if let Some(found) = tables.frontend(FrontendKey::new(key.dst, key.dport, transport)) {
        *frontend = found;
        return true;
    }
    let Some(service) = tables.node_port(transport, key.dport) else { return false };
    *frontend = Frontend { service, kind: FrontendKind::NodePort as u32 };
    has_node_ports(tables, key.dst, hook == Hook::Egress)
}

/// Whether node ports answer on `addr`. Loopback addresses are for the node's own
/// processes, and everybody else's are their own.
#[inline(always)]
pub(crate) fn has_node_ports<F: Family>(tables: &impl Tables<F>, addr: F::Addr, is_host: bool) -> bool {
    if addr.is_loopback() {
        is_host && tables.is_set(F::NODE_PORT_LOOPBACK)
    } else {
        tables.local(addr) & LOCAL_NODE_PORTS != 0
    }
}

/// A packet that is not to a Service: from a backend, perhaps.
#[inline(always)]
fn answer<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    if flags.opens() {
        // A client that reached the same backend by a Service, and now calls it by its own
        // address from the same port: the answers must keep that address.
        scratch.peer = scratch.key.reversed(place.answers_at());
        if tables.may_hold(&scratch.peer) {
            tables.claim(scratch);
        }
    }
    if life::is_answer(tables, scratch, transport, flags) { Learned::Known } else { Learned::NotOurs }
}
