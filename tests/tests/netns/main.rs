//! Real connections through a real kernel: a world of network namespaces for each test.

mod bridge;
mod cleanup;
mod clsact;
mod devices;
mod errors;
mod manifests;
mod privileges;
mod reach;
mod refuse;
mod restart;
mod sandbox;
mod spread;
mod support;
