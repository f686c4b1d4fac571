//! Plans over sequences of snapshots, read by a program that knows nothing of plans.

mod converge;
mod cost;
pub(crate) mod follower;
mod incremental;
mod kernel;
mod publish;
mod repair;
mod room;
mod streams;
mod world;
