//! The kernel programs of svclb: entry points only, named by where they attach.
//!
//! | module | owns |
//! |---|---|
//! | [`pipeline`] | a packet's way through a hook: known flow, new flow, refusal |
//! | [`medium`] | what holds a packet, as a trait |
//! | [`skb`], [`xdp`] | socket buffers at TC hooks, frames at XDP hooks |
//! | [`act`] | carrying out a recipe on a packet |
//! | [`refuse`] | answering a packet that nobody serves |
//! | [`too_big`] | answering a packet that is too big for its way |
//! | [`fragment`] | fragments without ports of their own; the map of what the first ones tell |
//! | [`icmp`], [`tunnel`] | other packets without ports of their own |
//! | [`sock`] | socket calls; the map of translations at sockets |
//! | [`opt_out`] | the map of pods whose sockets are left alone |
//! | [`frontend`] | the maps of frontends, node ports, and the node's and Services' addresses |
//! | [`backend`] | the maps of service cells, slots, backends and traffic counters |
//! | [`load`] | the maps of turns and of flows per backend |
//! | [`rate`] | the map of services' new flows: their rate, what they came to |
//! | [`client`] | the maps of session affinity and of source ranges |
//! | [`flow`] | the maps of flows |
//! | [`stranger`] | the map of tuples that are nobody's |
//! | [`route`] | the node's routes; the map of source addresses |
//! | [`dst_cache`] | the map of ways to destinations |
//! | [`pods`] | the map of which clients are local pods |
//! | [`ports`] | the map of searches for source ports; `bpf_loop` |
//! | [`observe`] | drop counters, clocks |
//! | [`recorder`] | the flight recorder and the events ring |
//! | [`outcome`] | the maps of what backends' flows are and were |
//! | [`kernel`] | the datapath's `Tables`, made of all these maps |
//! | [`config`] | the settings |
//! | [`agent`] | maps that the programs never read |
//! | [`apart`] | functions that the verifier follows once |
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(unsafe_code, reason = "kernel helpers and contexts are raw pointers")]
#![expect(missing_docs, reason = "the attribute macros repeat the entry points without their comments")]
#![expect(clippy::needless_pass_by_value, reason = "the attribute macros hand the context over by value")]
#![expect(unreachable_pub, reason = "a program's entry points are its symbols")]
#![expect(clippy::inline_always, reason = "the hot path must be one function; the verifier limits calls")]

mod act;
mod agent;
mod apart;
mod around;
mod backend;
mod beside;
mod client;
mod config;
mod dst_cache;
mod entrance;
mod entry;
mod expire;
mod filter;
mod flow;
mod fragment;
mod frontend;
mod icmp;
mod inner;
mod kernel;
mod load;
mod medium;
mod observe;
mod opt_out;
mod outcome;
mod pipeline;
mod pods;
mod ports;
mod recorder;
mod refuse;
mod route;
mod skb;
mod sock;
mod stranger;
mod too_big;
mod tunnel;
mod xdp;

use aya_ebpf::{
    macros::{cgroup_sock_addr, classifier, xdp},
    programs::{SockAddrContext, TcContext, XdpContext},
};
use svclb_common::{
    balance::Edge,
    family::{V4, V6},
    key::Hook,
};

use crate::{skb::Skb, xdp::Xdp};

/// From a pod of this node.
#[classifier]
pub fn pod_ingress(ctx: TcContext) -> i32 {
    pipeline::handle(Skb(ctx.skb.skb), Edge::Pod, Hook::Ingress)
}

/// To a pod of this node.
#[classifier]
pub fn pod_egress(ctx: TcContext) -> i32 {
    pipeline::handle(Skb(ctx.skb.skb), Edge::Pod, Hook::Egress)
}

/// From other nodes and the outside.
#[classifier]
pub fn uplink_ingress(ctx: TcContext) -> i32 {
    pipeline::handle(Skb(ctx.skb.skb), Edge::Uplink, Hook::Ingress)
}

/// To other nodes and the outside; on the loopback device as well where host
/// processes are translated per packet.
#[classifier]
pub fn uplink_egress(ctx: TcContext) -> i32 {
    pipeline::handle(Skb(ctx.skb.skb), Edge::Uplink, Hook::Egress)
}

/// From other nodes and the outside, before the stack. Frames may have several buffers (Linux 5.18).
#[xdp(frags)]
pub fn uplink_xdp(ctx: XdpContext) -> u32 {
    pipeline::handle(Xdp(ctx.ctx), Edge::Uplink, Hook::Ingress).cast_unsigned()
}

/// The same for kernels whose frames have one buffer.
#[xdp]
pub fn uplink_xdp_page(ctx: XdpContext) -> u32 {
    pipeline::handle(Xdp(ctx.ctx), Edge::Uplink, Hook::Ingress).cast_unsigned()
}

/// `connect(2)` on an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    sock::towards::<V4>(ctx.sock_addr, false)
}

/// `connect(2)` on an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    sock::towards::<V6>(ctx.sock_addr, false)
}

/// `sendmsg(2)` with an IPv4 destination.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    sock::towards::<V4>(ctx.sock_addr, true)
}

/// `sendmsg(2)` with an IPv6 destination.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    sock::towards::<V6>(ctx.sock_addr, true)
}

/// `recvmsg(2)`: the IPv4 source that the process is told.
#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    sock::named::<V4>(ctx.sock_addr)
}

/// `recvmsg(2)`: the IPv6 source that the process is told.
#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    sock::named::<V6>(ctx.sock_addr)
}

/// `getpeername(2)` on an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    sock::named::<V4>(ctx.sock_addr)
}

/// `getpeername(2)` on an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    sock::named::<V6>(ctx.sock_addr)
}

/// The bytecode calls GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
