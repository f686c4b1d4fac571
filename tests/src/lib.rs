//! Test harness.

pub mod cluster;
pub mod netns;
pub mod packet;
pub mod probe;
