//! Test harness.

pub mod netns;
pub mod probe;
