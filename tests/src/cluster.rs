//! A real control plane, in whose sight the worlds of [`netns`](crate::netns) are nodes and pods.
//!
//! | module | owns |
//! |---|---|
//! | [`assets`] | the binaries, or a cluster that is there already |
//! | [`plane`] | etcd, API server and controllers, for the time of one run |
//! | `member` | one process of the control plane |
//! | [`kubectl`] | commands, and the kubeconfig they use |
//! | `follow` | EndpointSlices where no controller writes them |
//! | `relay` | the API server's address in a world |
//! | [`scene`] | a world and a Kubernetes namespace, for the time of one scenario |
//! | [`object`] | Pods and EndpointSlices as text |
//! | [`agent`] | agents that follow the API server |
//! | [`expect`] | what clients are to see |

pub mod agent;
pub mod assets;
pub mod expect;
mod follow;
pub mod kubectl;
mod member;
pub mod object;
pub mod plane;
mod relay;
pub mod scene;

pub use self::{assets::Assets, plane::Plane, scene::Scene};
