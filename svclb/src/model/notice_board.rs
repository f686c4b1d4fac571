//! The notices that hold, and those that are new.

use std::collections::BTreeSet;

use super::Notice;

/// The notices that hold. What is put up and taken down in between is settled at once, so that a notice that moves
/// from one owner to another is neither lost nor told again, in whatever order that happens.
#[derive(Debug, Default)]
pub(super) struct NoticeBoard {
    posted: BTreeSet<Notice>,
    came: BTreeSet<Notice>,
    gone: BTreeSet<Notice>,
}

impl NoticeBoard {
    /// Puts up notices. The caller holds each only once.
    pub(super) fn post(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if !self.gone.remove(&notice) {
                self.came.insert(notice);
            }
        }
    }

    /// Takes down notices that the caller has put up.
    pub(super) fn withdraw(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if !self.came.remove(&notice) {
                self.gone.insert(notice);
            }
        }
    }

    /// Makes it so; returns the notices that are new.
    pub(super) fn settle(&mut self) -> Vec<Notice> {
        for notice in std::mem::take(&mut self.gone) {
            self.posted.remove(&notice);
        }
        let came = std::mem::take(&mut self.came);
        came.into_iter().filter(|notice| self.posted.insert(notice.clone())).collect()
    }

    /// The notices that hold, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Notice> {
        self.posted.iter()
    }
}
