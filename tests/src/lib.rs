//! Test harness.

pub mod packet;
