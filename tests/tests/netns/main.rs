//! Real connections through a real kernel: a world of network namespaces for each test.

mod addresses;
mod affinity;
mod algorithm;
mod apiserver;
mod bridge;
mod churn;
mod cleanup;
mod clsact;
mod devices;
mod dns;
mod dsr;
mod errors;
mod faults;
mod files;
mod filter;
mod health;
mod ingress;
mod large;
mod lives;
mod manifests;
mod model;
mod overload;
mod path_mtu;
mod policy;
mod privileges;
mod rate;
mod reach;
mod refuse;
mod resize;
mod restart;
mod rolling;
mod sandbox;
mod semantics;
mod shapes;
mod sockets;
mod source_addresses;
mod sources;
mod spread;
mod streams;
mod support;
mod types;
#[cfg(target_arch = "x86_64")]
mod upgrade;
#[cfg(target_arch = "x86_64")]
mod upgrade_steps;
mod xdp;
