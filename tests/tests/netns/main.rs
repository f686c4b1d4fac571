//! Real connections through a real kernel: a world of network namespaces for each test.

mod addresses;
mod affinity;
mod apiserver;
mod bridge;
mod cleanup;
mod clsact;
mod devices;
mod dns;
mod dsr;
mod errors;
mod health;
mod ingress;
mod manifests;
mod policy;
mod privileges;
mod reach;
mod refuse;
mod restart;
mod rolling;
mod sandbox;
mod semantics;
mod sources;
mod spread;
mod support;
mod types;
