//! Real connections through a real kernel: a world of network namespaces for each test.

mod bridge;
mod reach;
mod refuse;
mod spread;
mod support;
