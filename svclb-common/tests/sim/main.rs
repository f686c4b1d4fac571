//! The datapath's logic in a simulated node: real frames in, frames judged by
//! etherparse out.
#![expect(clippy::unwrap_used, reason = "a frame that cannot be built or read fails its test")]

mod affinity;
mod algorithm;
mod alone;
mod collect;
mod cost;
mod dsr;
mod dsr_errors;
mod evict;
mod extensions;
mod fragments;
mod icmp;
mod life;
mod lives;
mod pair;
mod policy;
mod ports;
mod property;
mod rate;
mod refuse;
mod reuse;
mod signs;
mod socket;
mod sources;
mod takeover;
mod translate;
mod vacant;
mod world;
