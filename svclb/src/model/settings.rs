//! What the model has to know besides API objects.

use super::Algorithm;

/// What the model has to know besides API objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The name of the Node object. An endpoint is local if its `nodeName` is exactly this.
    pub node_name: String,
    /// How backends are chosen where a Service does not say.
    pub algorithm: Algorithm,
    /// Names of runtime classes, with `*` and `?`, whose pods' sockets are left alone.
    pub sandboxes: Vec<String>,
}
