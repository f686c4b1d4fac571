//! The agent of svclb as a library.

pub mod netdev;
pub mod sandbox;
