//! What the model has to know besides API objects.

use super::{Algorithm, Rate};

/// What the model has to know besides API objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The name of the Node object. An endpoint is local if its `nodeName` is exactly this.
    pub node_name: String,
    /// How backends are chosen where a Service does not say.
    pub algorithm: Algorithm,
    /// New flows that a port takes in a second where its Service does not say.
    pub rate: Rate,
    /// Names of runtime classes, with `*` and `?`, whose pods' sockets are left alone.
    pub sandboxes: Vec<String>,
    /// Whether the endpoints of this node behind external frontends are listed whatever the policy:
    /// other nodes send packets for them here, and they are found faster in a list of their own.
    pub lists_local: bool,
    /// Whether there is a Service of the agent's own, for its self-probe.
    pub self_probe: bool,
}
