//! Test harness.

pub mod netns;
pub mod packet;
pub mod probe;
pub mod semantics;
