//! How the two directions of a new flow go.

use crate::{
    balance::{
        place::{Edge, LOOPBACK_IFINDEX, Place},
        tables::{Route, Tables},
        tunnel,
    },
    encap::Carry,
    family::Address as _,
    flow::{Action, Step},
    key::{FlowKey, Hook},
    service::Backend,
    verdict::DropReason,
};

/// How the two directions of a new flow go.
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

/// Chooses the path from the client behind `place` to `backend`. If it `masquerades`, the
/// backend sees the node's address wherever it and the client are. If it `tunnels`, a backend
/// on another node answers outside clients by itself.
#[inline(always)]
pub(super) fn path<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: &FlowKey<F::Addr>,
    backend: &Backend<F::Addr>,
    source: &mut F::Addr,
    masquerades: bool,
    tunnels: bool,
) -> Result<Path<F::Addr>, DropReason> {
    match (place.hook, place.edge) {
        // A pod that reaches itself must not see its own address as the client's. The
        // VIP is an address that it sends back to us, and needs nobody's permission.
        (Hook::Ingress, Edge::Pod) if backend.addr == key.src => Ok(Path {
            src: key.dst,
            translates_port: false,
            there: Step::plain(Action::Reflect),
            back: Step::plain(Action::Reflect),
            back_hook: Hook::Ingress,
        }),
        // The reply comes back by the pod's own device, wherever the backend is.
        (Hook::Ingress, Edge::Pod) if !masquerades => Ok(Path::plain(key.src)),
        (Hook::Ingress, Edge::Uplink) if backend.local && !masquerades => Ok(Path::plain(key.src)),
        (Hook::Ingress, edge) => match tables.route(&backend.addr, source) {
            Route::Local => Ok(Path::plain(key.src)),
            Route::Via if tunnels && edge == Edge::Uplink && tunnel::has_room(tables, &backend.addr) => {
                Ok(Path::tunnel(*source))
            }
            Route::Via => Ok(Path {
                src: *source,
                translates_port: true,
                there: Step::plain(Action::Forward),
                back: Step::plain(Action::Forward),
                back_hook: Hook::Ingress,
            }),
            Route::None => Err(DropReason::NoRoute),
        },
        (Hook::Egress, _) => match tables.route(&backend.addr, source) {
            // On the loopback device the packet already is where it must go.
            Route::Local if place.ifindex == LOOPBACK_IFINDEX => Ok(Path::plain(key.src)),
            Route::Local => Ok(Path {
                there: Step::deliver(LOOPBACK_IFINDEX),
                back: Step::deliver(place.ifindex),
                ..Path::plain(key.src)
            }),
            Route::Via => {
                let foreign = key.src.is_loopback();
                Ok(Path {
                    src: if foreign { *source } else { key.src },
                    translates_port: foreign,
                    there: Step::plain(Action::Forward),
                    back: Step::deliver(place.ifindex),
                    back_hook: Hook::Ingress,
                })
            }
            Route::None => Err(DropReason::NoRoute),
        },
    }
}
