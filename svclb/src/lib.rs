//! The agent of svclb as a library.

pub mod manifest;
pub mod model;
