//! The datapath's logic in a simulated node: real frames in, frames judged by
//! etherparse out.
#![expect(clippy::unwrap_used, reason = "a frame that cannot be built or read fails its test")]

mod affinity;
mod alone;
mod dsr;
mod evict;
mod life;
mod pair;
mod policy;
mod property;
mod refuse;
mod reuse;
mod socket;
mod translate;
mod vacant;
mod world;
