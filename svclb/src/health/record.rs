//! What is known of one address family.

use std::time::SystemTime;

use tokio::time::Instant;

/// Changes of one family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// When the oldest change was queued that is not in the tables yet.
    pub(super) pending: Option<Instant>,
    /// When everything was in the tables last.
    pub(super) updated: Option<SystemTime>,
}
