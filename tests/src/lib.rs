//! Test harness.

pub mod apiserver;
pub mod cluster;
pub mod control_plane;
pub mod figure;
pub mod machine;
pub mod model;
pub mod netns;
pub mod packet;
pub mod probe;
pub mod prog;
pub mod reference;
pub mod semantics;
pub mod soak;
pub mod spread;
pub mod traffic;
