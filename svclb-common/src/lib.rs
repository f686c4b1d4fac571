//! What the kernel programs and the agent share: map layouts, and the datapath's thinking.
//!
//! Nothing here touches a kernel. Everything compiles for the BPF target and for
//! the host, where `cargo test` runs it.
//!
//! | module | noun |
//! |---|---|
//! | [`wire`] | headers as they lie in a frame; the one place that turns bytes into them |
//! | [`checksum`] | incremental Internet checksums (RFC 1624) |
//! | [`family`] | IPv4 and IPv6 as one generic: [`Family`](family::Family), [`V4`](family::V4), [`V6`](family::V6) |
//! | [`packet`] | a parsed frame, its tuple, its rewriting |
//! | [`outline`] | where things are in a packet whose headers are not the usual ones |
//! | [`fragment`] | what the fragments of a datagram have in common |
//! | [`cell`] | words that one side writes while the other reads |
//! | [`hash`] | the hash by which flows find their slots |
//! | [`key`] | map keys, and the way they reach the stack |
//! | [`service`] | frontends, service cells, slots, backends |
//! | [`flow`] | flow entries: the rewrite recipe and the life of a flow |
//! | [`balance`] | from a packet without a flow to a flow or a refusal |
//! | [`collect`] | forgetting what nobody promises to remember |
//! | [`socket`] | the same decision at a socket call |
//! | [`crc32c`] | SCTP's checksum |
//! | [`refuse`] | the packets that say no |
//! | [`icmp`] | errors about translated packets |
//! | [`verdict`] | what a program decided, and why it dropped |
//! | [`encap`] | a packet in a packet: the outer headers |
//! | [`inner`] | what travels in other packets and is not plain |
//! | [`event`] | records of what was not simply translated |
//! | [`sign`] | what flows show that do not go well |
//! | [`client`] | which clients are pods of the cluster |
//! | [`dst_cache`] | what the kernel said of the way to a destination a moment ago |
//! | [`snat`] | searches for a free source port, and what is remembered of them |
//! | [`config`] | what the agent tells the programs at load time |
//! | [`line`] | elements of arrays of bytes |
//! | [`layout`] | map names, capacities, the layout's version |
//! | [`state`] | what the agent tells other processes |
#![no_std]
#![expect(clippy::inline_always, reason = "the hot path must be one function; the verifier limits calls")]

#[cfg(test)]
extern crate std;

pub mod balance;
pub mod cell;
pub mod checksum;
pub mod client;
pub mod collect;
pub mod config;
pub mod crc32c;
pub mod dst_cache;
pub mod encap;
pub mod event;
pub mod family;
pub mod flow;
pub mod fragment;
pub mod hash;
pub mod icmp;
pub mod inner;
pub mod key;
pub mod layout;
pub mod line;
pub mod outline;
pub mod packet;
#[cfg(feature = "user")]
mod pod;
#[cfg(feature = "user")]
pub use flow::FlowRecord;
pub mod refuse;
pub mod service;
pub mod sign;
pub mod snat;
pub mod socket;
pub mod state;
pub mod verdict;
pub mod wire;
