//! What one pass did.

use super::{Delta, Written};

/// What a pass did.
#[derive(Debug, Default)]
pub(in crate::agent) struct Pass {
    /// What is different since the last pass.
    pub(in crate::agent) delta: Delta,
    /// What was written to the tables of Services, if anything was due.
    pub(in crate::agent) written: Option<Written>,
    /// Whether the tables hold what the source has told, as far as there is room.
    pub(in crate::agent) is_applied: bool,
    /// Whether addresses of the node may be others.
    pub(in crate::agent) has_moved: bool,
    /// Whether what failed is to be tried again.
    pub(in crate::agent) is_to_be_repeated: bool,
}
