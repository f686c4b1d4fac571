//! Socket calls, and the map of translations at sockets.

use aya_ebpf::{
    bindings::{BPF_ANY, bpf_sock_addr},
    btf_maps::LruHashMap,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval},
    macros::btf_map,
};
use svclb_common::{
    family::{Addr4, Addr6, Family, V4, V6},
    key::{SocketKey, Wide},
    layout::capacity,
    service::ServiceId,
    socket::{self, Socket, SocketPeer, SocketTables, SocketVerdict},
    wire::Transport,
};

use crate::{
    config,
    kernel::{Maps, NoPacket},
    opt_out, recorder,
};

type Translations<A> = LruHashMap<SocketKey<A>, SocketPeer<A>, { capacity::SOCKETS }>;

/// Translations at IPv4 sockets.
#[btf_map(name = "SOCKETS_V4")]
static SOCKETS_V4: Translations<Addr4> = LruHashMap::new();
/// Translations at IPv6 sockets.
#[btf_map(name = "SOCKETS_V6")]
static SOCKETS_V6: Translations<Addr6> = LruHashMap::new();

/// The map of a family, and where its addresses lie in the context.
pub(crate) trait SocketMaps: Maps {
    #[doc(hidden)]
    fn translations() -> &'static Translations<Self::Addr>;
    #[doc(hidden)]
    unsafe fn read(ctx: *mut bpf_sock_addr) -> Self::Addr;
    #[doc(hidden)]
    unsafe fn write(ctx: *mut bpf_sock_addr, addr: Self::Addr);
}

impl SocketMaps for V4 {
    #[inline(always)]
    fn translations() -> &'static Translations<Addr4> {
        &SOCKETS_V4
    }

    #[inline(always)]
    unsafe fn read(ctx: *mut bpf_sock_addr) -> Addr4 {
        // SAFETY: the caller passes the program's context.
        Addr4(unsafe { (&raw const (*ctx).user_ip4).read_volatile() })
    }

    #[inline(always)]
    unsafe fn write(ctx: *mut bpf_sock_addr, addr: Addr4) {
        // SAFETY: as above.
        unsafe { (&raw mut (*ctx).user_ip4).write_volatile(addr.0) };
    }
}

impl SocketMaps for V6 {
    #[inline(always)]
    fn translations() -> &'static Translations<Addr6> {
        &SOCKETS_V6
    }

    #[inline(always)]
    unsafe fn read(ctx: *mut bpf_sock_addr) -> Addr6 {
        // SAFETY: as above. Word by word: the verifier knows no wider access on all kernels.
        unsafe {
            let words = (&raw const (*ctx).user_ip6).cast::<u32>();
            Addr6([
                words.read_volatile(),
                words.add(1).read_volatile(),
                words.add(2).read_volatile(),
                words.add(3).read_volatile(),
            ])
        }
    }

    #[inline(always)]
    unsafe fn write(ctx: *mut bpf_sock_addr, addr: Addr6) {
        // SAFETY: as above.
        unsafe {
            let words = (&raw mut (*ctx).user_ip6).cast::<u32>();
            words.write_volatile(addr.0[0]);
            words.add(1).write_volatile(addr.0[1]);
            words.add(2).write_volatile(addr.0[2]);
            words.add(3).write_volatile(addr.0[3]);
        }
    }
}

impl<F: SocketMaps> SocketTables<F> for NoPacket {
    #[inline(always)]
    fn translation(&self, key: SocketKey<F::Addr>) -> Option<SocketPeer<F::Addr>> {
        // SAFETY: the value is copied at once.
        unsafe { F::translations().get(Wide::new(key).get()) }.copied()
    }

    #[inline(always)]
    fn remember(&self, key: SocketKey<F::Addr>, peer: &SocketPeer<F::Addr>) {
        // An LRU table makes room; should it fail, only the name that is reported back is lost.
        let _written = F::translations().insert(Wide::new(key).get(), peer, BPF_ANY.into());
    }

    #[inline(always)]
    fn note_service(&self, service: ServiceId) {
        recorder::note_service_of_call::<F>(service);
    }

    #[inline(always)]
    fn has_opted_out(&self) -> bool {
        opt_out::is_caller_in()
    }
}

/// The call goes on.
const ALLOW: i32 = 1;
/// The call fails with the error that was set.
const REFUSE: i32 = 0;

/// Multipath TCP's socket protocol (RFC 8684, Linux 5.6); there is no such packet.
const IPPROTO_MPTCP: u32 = 262;

/// The socket of a call.
#[inline(always)]
fn socket(ctx: *mut bpf_sock_addr, unconnected: bool) -> Option<Socket> {
    // SAFETY: the context lives as long as the program runs.
    let transport = match unsafe { (&raw const (*ctx).protocol).read_volatile() } {
        // Its subflows are TCP connections, and without the other end's consent it is one.
        IPPROTO_MPTCP => Transport::Tcp,
        protocol => Transport::of(u8::try_from(protocol).ok()?)?,
    };
    // SAFETY: as above.
    let (cookie, netns) = unsafe { (bpf_get_socket_cookie(ctx.cast()), bpf_get_netns_cookie(ctx.cast())) };
    // Nothing is asked of a socket that is about to be connected.
    let connected = unconnected && is_connected(ctx);
    let port = if unconnected { own_port(ctx) } else { 0 };
    Some(Socket { cookie, in_host: netns == config::host_netns(), transport, port, unconnected, connected })
}

/// The socket's own port, network byte order.
#[inline(always)]
fn own_port(ctx: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the context lives as long as the program runs, and so does its socket.
    unsafe {
        let socket = (&raw const (*ctx).__bindgen_anon_1.sk).read_volatile();
        if socket.is_null() { 0 } else { ((&raw const (*socket).src_port).read_volatile() as u16).to_be() }
    }
}

/// Whether the socket of a call is connected.
#[inline(always)]
fn is_connected(ctx: *mut bpf_sock_addr) -> bool {
    /// `TCP_ESTABLISHED` (`net/tcp_states.h`), which connected datagram sockets have as well.
    const ESTABLISHED: u32 = 1;
    // SAFETY: the context lives as long as the program runs, and so does its socket.
    unsafe {
        let socket = (&raw const (*ctx).__bindgen_anon_1.sk).read_volatile();
        !socket.is_null() && (&raw const (*socket).state).read_volatile() == ESTABLISHED
    }
}

/// `connect` and `sendmsg`: where the connection or the datagram goes.
#[inline(always)]
pub(crate) fn towards<F: SocketMaps + Towards>(ctx: *mut bpf_sock_addr, unconnected: bool) -> i32 {
    let Some(socket) = socket(ctx, unconnected) else { return ALLOW };
    F::decide(ctx, socket)
}

/// `recvmsg` and `getpeername`: the other end's name.
#[inline(always)]
pub(crate) fn named<F: SocketMaps + Towards>(ctx: *mut bpf_sock_addr) -> i32 {
    if let Some(socket) = socket(ctx, false) {
        F::name(ctx, socket);
    }
    ALLOW
}

/// Both families of a socket: an IPv6 socket may name IPv4 addresses.
pub(crate) trait Towards: Family {
    #[doc(hidden)]
    fn decide(ctx: *mut bpf_sock_addr, socket: Socket) -> i32;
    #[doc(hidden)]
    fn name(ctx: *mut bpf_sock_addr, socket: Socket);
}

impl Towards for V4 {
    #[inline(always)]
    fn decide(ctx: *mut bpf_sock_addr, socket: Socket) -> i32 {
        // SAFETY: the context lives as long as the program runs.
        let addr = unsafe { V4::read(ctx) };
        apply::<V4>(ctx, socket, addr, |to| {
            // SAFETY: as above.
            unsafe { V4::write(ctx, to) };
        })
    }

    #[inline(always)]
    fn name(ctx: *mut bpf_sock_addr, socket: Socket) {
        // SAFETY: as above.
        let addr = unsafe { V4::read(ctx) };
        if let Some((addr, port)) = socket::named_by::<V4, _>(&NoPacket, socket, addr, port(ctx)) {
            // SAFETY: as above.
            unsafe { V4::write(ctx, addr) };
            set_port(ctx, port);
        }
    }
}

impl Towards for V6 {
    #[inline(always)]
    fn decide(ctx: *mut bpf_sock_addr, socket: Socket) -> i32 {
        // SAFETY: as above.
        let addr = unsafe { V6::read(ctx) };
        match addr.mapped() {
            Some(v4) => apply::<V4>(ctx, socket, v4, |to| {
                // SAFETY: as above.
                unsafe { V6::write(ctx, Addr6::from_mapped(to)) };
            }),
            None => apply::<V6>(ctx, socket, addr, |to| {
                // SAFETY: as above.
                unsafe { V6::write(ctx, to) };
            }),
        }
    }

    #[inline(always)]
    fn name(ctx: *mut bpf_sock_addr, socket: Socket) {
        // SAFETY: as above.
        let addr = unsafe { V6::read(ctx) };
        let named = match addr.mapped() {
            Some(v4) => socket::named_by::<V4, _>(&NoPacket, socket, v4, port(ctx))
                .map(|(addr, port)| (Addr6::from_mapped(addr), port)),
            None => socket::named_by::<V6, _>(&NoPacket, socket, addr, port(ctx)),
        };
        if let Some((addr, port)) = named {
            // SAFETY: as above.
            unsafe { V6::write(ctx, addr) };
            set_port(ctx, port);
        }
    }
}

#[inline(always)]
fn apply<F: SocketMaps>(
    ctx: *mut bpf_sock_addr,
    socket: Socket,
    addr: F::Addr,
    write: impl FnOnce(F::Addr),
) -> i32 {
    match socket::towards::<F, _>(&NoPacket, socket, addr, port(ctx)) {
        SocketVerdict::Keep => ALLOW,
        SocketVerdict::To(to, port) => {
            write(to);
            set_port(ctx, port);
            ALLOW
        }
        SocketVerdict::Fail(reason) => {
            recorder::tell_of_call::<F>(&addr, reason as u32, port(ctx), socket.transport.number());
            // SAFETY: a helper with a plain argument.
            unsafe { bpf_set_retval(-socket::errno(reason)) };
            REFUSE
        }
    }
}

/// The port that the call names, network byte order.
#[inline(always)]
fn port(ctx: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the context lives as long as the program runs.
    (unsafe { (&raw const (*ctx).user_port).read_volatile() }) as u16
}

#[inline(always)]
fn set_port(ctx: *mut bpf_sock_addr, port: u16) {
    // SAFETY: as above.
    unsafe { (&raw mut (*ctx).user_port).write_volatile(u32::from(port)) };
}
