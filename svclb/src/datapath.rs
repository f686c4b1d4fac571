//! The kernel side of the agent: it knows maps, programs and hooks, and nothing of Kubernetes.
//!
//! | module | noun |
//! |---|---|
//! | [`object`] | the bytecode, and the shape of its maps |
//! | [`pins`] | where maps and links are pinned |
//! | [`loader`] | loading programs over new or adopted maps |
//! | [`family`] | one address family's types in userspace |
//! | [`tables`] | the maps that hold services; the one writer |
//! | [`readback`] | what the maps hold, for a restarted agent and for reports |
//! | [`account`] | what the agent says of itself, for reports |
//! | [`active`] | how many flows each backend has |
//! | [`addresses`] | the maps of the node's addresses |
//! | [`ranges`] | the map of the ranges in which addresses of Services are |
//! | [`pods`] | the map of which clients are local pods |
//! | [`opt_outs`] | the map of pods whose sockets are left alone |
//! | [`ways`] | how often the node's ways have changed |
//! | [`translations`] | the translations that the programs make at sockets |
//! | [`attach`] | which programs are attached where |
//! | [`xdp`] | programs in front of the stack, on top of those |
//! | [`clsact`] | attachment for kernels without TCX |
//! | [`counters`] | what the programs count |
//! | [`flows`] | the flows that the programs keep |
//! | [`inherited`] | flows that the stack translates |
//! | [`handover`] | giving flows to the stack |
//! | [`frontends`] | the map of frontends, and the filter in front of it |
//! | `mover` | entries on their way to tables of another size |
//! | [`settings`] | the settings of the programs that run |
//! | [`replica`] | the programs once more, to be run on packets that nobody has sent |
//! | [`resize`] | flow tables of another size than those that are pinned |
//! | [`sweep`] | walking through what programs write, and forgetting what is over |
//! | [`loopback`] | sysctls of the loopback device, for `--socket-lb=off` and for SCTP |
//! | [`lock`] | one agent per set of pins |
//! | [`events`] | the events ring |
//! | `attached` | what is attached, for reports |
//! | [`carry`] | taking over from an agent of an older layout |
//! | [`cleanup`] | removing everything |
//! | [`hooks`] | what is at the hooks besides, and what is not that should be |
//! | [`probe`] | what the kernel offers |
//! | [`self_probe`] | a packet and a call through a Service of the agent's own |

pub mod account;
pub mod active;
pub mod addresses;
pub mod attach;
mod attached;
mod bpffs;
pub mod carry;
pub mod cleanup;
mod clock;
pub mod clsact;
pub mod counters;
mod error;
pub mod events;
pub mod family;
pub mod flows;
mod frontends;
pub mod handover;
pub mod hooks;
pub mod inherited;
pub mod loader;
pub mod lock;
pub mod loopback;
mod mover;
pub mod object;
pub mod opt_outs;
pub mod pins;
pub mod pods;
pub mod probe;
pub mod ranges;
pub mod readback;
pub mod recorder;
mod refusals;
pub mod replica;
pub mod resize;
pub mod self_probe;
pub mod settings;
pub mod sweep;
pub mod tables;
pub mod translations;
pub mod ways;
pub mod xdp;

pub use self::error::Error;
