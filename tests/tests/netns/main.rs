//! Real connections through a real kernel: a world of network namespaces for each test.

mod reach;
mod support;
