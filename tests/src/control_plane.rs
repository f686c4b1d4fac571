//! What following a cluster costs the agent: time, memory, writes. Measured, never judged by a test.
//!
//! The agent is a process in a network namespace with an uplink that leads nowhere; the API server is
//! [`apiserver`](crate::apiserver) on its loopback device. Times end when the agent's state, which is seen as memory,
//! says that its tables are complete, or that it has written.
//!
//! | module | owns |
//! |---|---|
//! | [`shape`] | the clusters and their objects |
//! | [`ground`] | the node |
//! | [`proc`] | memory and processor time of a process |
//! | [`measure`] | the measurements |
//! | [`seen`] | what a client sees of svclb and of kube-proxy |
//! | [`report`] | tables and goals |

pub mod ground;
pub mod measure;
pub mod proc;
pub mod report;
pub mod seen;
pub mod shape;
