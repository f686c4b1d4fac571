//! The real programs over maps of their own, run by the kernel (`BPF_PROG_TEST_RUN`). It needs root.
//!
//! | module | noun |
//! |---|---|
//! | [`node`] | a network namespace to ask for routes |
//! | [`lab`] | the bytecode over maps of its own |
//! | [`loaded`] | a program as the kernel has it |
//! | [`front`] | packets in front of the stack |
//! | [`tables`] | services as fixtures write them, and their way into the maps |
//! | [`aside`] | entries that only the tables beside the usual ones know |
//! | [`figures`] | what an object says of its programs |
//! | [`counts`] | what the programs of a lab have counted and told |
//! | [`cidr`] | address ranges as fixtures write them |

pub mod aside;
pub mod cidr;
pub mod counts;
pub mod figures;
pub mod front;
pub mod lab;
pub mod loaded;
pub mod node;
pub mod tables;
