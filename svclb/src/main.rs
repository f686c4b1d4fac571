//! The agent of svclb.
fn main() {}
