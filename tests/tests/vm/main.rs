//! What the kernels of most development machines lack, under kernels that have it: `cargo xtask test vm` runs this
//! inside virtual machines, and nothing else does.

mod bond;
mod jumbo;
mod netkit;
mod sctp;
mod support;
mod vlan;
