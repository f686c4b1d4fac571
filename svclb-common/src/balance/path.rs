//! How the two directions of a new flow go.

use crate::{
    balance::{
        place::{Edge, LOOPBACK_IFINDEX, Place},
        scratch::Scratch,
        tables::{Route, Tables},
        tunnel,
    },
    encap::Carry,
    family::Address as _,
    flow::{Action, Step},
    key::Hook,
    verdict::DropReason,
};

/// How the two directions of a new flow go.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<A> {
    /// Source address towards the backend.
    pub(super) src: A,
    /// Whether the source port must be one of ours: the address is shared.
    pub(super) translates_port: bool,
    pub(super) there: Step,
    pub(super) back: Step,
    pub(super) back_hook: Hook,
}

impl<A> Path<A> {
    /// The client's own address goes to the backend, and the stack carries both ways.
    #[inline(always)]
    pub(super) fn plain(src: A) -> Self {
        Self {
            src,
            translates_port: false,
            there: Step::plain(Action::Pass),
            back: Step::plain(Action::Pass),
            back_hook: Hook::Egress,
        }
    }
}

impl<A> Path<A> {
    /// Packets travel in others from `src`, and the answers go to the client by themselves.
    #[inline(always)]
    pub(super) fn tunnel(src: A) -> Self {
        Self { there: Step::plain(Action::Tunnel), back_hook: Hook::Ingress, ..Self::plain(src) }
    }

    /// Whether the answers do not come this way.
    #[inline(always)]
    pub(super) fn is_one_way(&self) -> bool {
        matches!(self.there.action, Action::Tunnel)
    }
}

/// Puts the path from the client behind `place` to the backend into `scratch`.
///
/// If the flow is masqueraded the backend sees the node's address wherever it and the client are.
/// Otherwise the client's is kept where the answer is known to pass a program of ours. If it
/// `tunnels`, a backend on another node answers outside clients by itself.
#[inline(always)]
pub(super) fn path<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    tunnels: bool,
) -> Result<(), DropReason> {
    let masquerades = scratch.masquerades();
    let is_safe = matches!((place.hook, place.edge), (Hook::Ingress, Edge::Uplink))
        && scratch.backend.local
        && !masquerades
        && leads_back(tables, scratch);
    let Scratch { key, backend, source, path, .. } = scratch;
    *path = match (place.hook, place.edge) {
        // A pod that reaches itself must not see its own address as the client's. The
        // VIP is an address that it sends back to us, and needs nobody's permission.
        (Hook::Ingress, Edge::Pod) if backend.addr == key.src => Path {
            src: key.dst,
            translates_port: false,
            there: Step::plain(Action::Reflect),
            back: Step::plain(Action::Reflect),
            back_hook: Hook::Ingress,
        },
        // The reply comes back by the pod's own device, wherever the backend is.
        (Hook::Ingress, Edge::Pod) if !masquerades => Path::plain(key.src),
        (Hook::Ingress, Edge::Uplink) if is_safe => Path::plain(key.src),
        (Hook::Ingress, edge) => match tables.route(&backend.addr, source) {
            Route::Local => Path::plain(key.src),
            Route::Via
                if tunnels
                    && edge == Edge::Uplink
                    && !backend.local
                    && tunnel::has_room(tables, &backend.addr) =>
            {
                Path::tunnel(*source)
            }
            Route::Via => Path {
                src: *source,
                translates_port: true,
                there: Step::plain(Action::Forward),
                back: Step::plain(Action::Forward),
                back_hook: Hook::Ingress,
            },
            Route::None => return Err(DropReason::NoRoute),
        },
        (Hook::Egress, _) => match tables.route(&backend.addr, source) {
            // On the loopback device the packet already is where it must go.
            Route::Local if place.ifindex == LOOPBACK_IFINDEX => Path::plain(key.src),
            Route::Local => Path {
                there: Step::deliver(LOOPBACK_IFINDEX),
                back: Step::deliver(place.ifindex),
                ..Path::plain(key.src)
            },
            Route::Via => {
                // A pod of this node answers to whichever address the node has.
                let is_elsewhere = !backend.local && key.src != *source;
                let foreign = key.src.is_loopback() || masquerades && is_elsewhere;
                Path {
                    src: if foreign { *source } else { key.src },
                    translates_port: foreign,
                    there: Step::plain(Action::Forward),
                    back: Step::deliver(place.ifindex),
                    back_hook: Hook::Ingress,
                }
            }
            Route::None => return Err(DropReason::NoRoute),
        },
    };
    Ok(())
}

/// Whether the answer of a backend on this node to the client in `scratch` leaves by a device that
/// carries our programs, whichever that is. The local list is for clients whose address must be
/// kept, and so for routes that lead back.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
fn leads_back<F: Carry, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    let Scratch { key, source, choice, .. } = scratch;
    choice.keeps_source || tables.route(&key.src, source) == Route::Via
}
