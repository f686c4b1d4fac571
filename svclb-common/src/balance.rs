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
//! | [`life`] | whether a flow goes on; who a tuple belongs to |
//! | [`path`] | how the two directions of a flow go |
//! | [`open`] | a new flow: its backend, its port, its entries |

mod life;
mod open;
mod path;
mod place;
mod scratch;
mod tables;

use crate::{
    family::{Address as _, Family},
    key::{FlowKey, FrontendKey, Hook},
    service::ServiceId,
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};
use life::{Memory, claim, ends, recall};

pub use life::decides;
pub use place::{Edge, LOOPBACK_IFINDEX, Place};
pub use scratch::Scratch;
pub use tables::{PutError, Route, Tables};

/// What became of a packet without an established flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is not to or from a Service: the stack's business.
    NotOurs,
    /// The flow tables now hold what to do with it.
    Known,
    /// Nobody serves this frontend; say so to the sender.
    Refused,
    /// It goes nowhere.
    Dropped(DropReason),
}

/// Finds or makes the flow of a packet that no established entry decides. The
/// packet's key is in `scratch`.
#[inline(always)]
pub fn learn<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    if ends(tables, scratch, flags) {
        return Learned::Known;
    }
    let Some((service, kind)) = find_service(tables, place, &scratch.key, transport) else {
        return answer(tables, place, scratch, transport, flags);
    };
    match recall(tables, scratch, transport, flags) {
        Memory::Flow => Learned::Known,
        // A reset of nothing opens nothing, and the stack would send it astray.
        Memory::Nothing if flags.any(TcpFlags::RST) && kind == Found::Frontend => {
            Learned::Dropped(DropReason::StrayReset)
        }
        // The node's own connections may use a port of the range: their answers come to a
        // node port and are no client's.
        Memory::Nothing if kind == Found::NodePort && transport == Transport::Tcp && !flags.opens() => {
            Learned::NotOurs
        }
        memory => open::open(tables, place, scratch, service, memory == Memory::Half),
    }
}

/// How a service was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// By an address that is the Service's.
    Frontend,
    /// By a port on an address that is the node's.
    NodePort,
}

/// The service that a packet is sent to, where this hook translates towards services.
#[inline(always)]
fn find_service<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: &FlowKey<F::Addr>,
    transport: Transport,
) -> Option<(ServiceId, Found)> {
    let own = |addr: F::Addr| tables.is_local(addr) || place.hook == Hook::Egress && addr.is_loopback();
    if place.hook == Hook::Egress && !(tables.config().translates_host_packets() && own(key.src)) {
        return None;
    }
    if let Some(service) = tables.frontend(FrontendKey::new(key.dst, key.dport, transport)) {
        return Some((service, Found::Frontend));
    }
    let service = tables.node_port(transport, key.dport).filter(|_| own(key.dst))?;
    Some((service, Found::NodePort))
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
        claim(tables, scratch);
    }
    match life::half_open(tables, &scratch.key) {
        Some(entry) if decides(entry, transport, flags, tables) => Learned::Known,
        _ => Learned::NotOurs,
    }
}
