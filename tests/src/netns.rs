//! Worlds of network namespaces, in which the agent and its clients are real processes.
//!
//! | module | owns |
//! |---|---|
//! | [`ground`] | what this machine must offer, and what a test does without it |
//! | [`namespace`] | threads inside namespaces |
//! | [`cgroup`] | the control groups of a world |
//! | `leftover` | what killed runs have left behind |
//! | [`layout`] | names and addresses |
//! | `wiring` | devices, addresses and routes |
//! | [`world`] | all of it, for the time of one test |
//! | [`server`] | what pods serve |
//! | [`client`] | who asks, and with what |
//! | [`churn`] | endpoints that come and go without pause |
//! | [`flood`] | first packets that nobody goes on with |
//! | [`manifest`] | Services and EndpointSlices as text |
//! | [`process`] | processes inside a namespace and a control group |
//! | [`agent`] | a running agent, and the commands beside it |
//! | [`older`] | older builds of the agent |
//! | [`kernel`] | what the kernel holds of an agent |
//! | [`wait`] | waiting for what comes soon |

pub mod agent;
pub mod cgroup;
pub mod churn;
pub mod client;
pub mod flood;
pub mod ground;
pub mod kernel;
pub mod kube_proxy;
pub mod layout;
pub(crate) mod leftover;
pub mod manifest;
pub mod namespace;
pub mod older;
pub mod process;
pub mod server;
pub mod wait;
pub(crate) mod wiring;
pub mod world;

pub use self::{agent::Agent, client::Place, ground::test, world::World};
