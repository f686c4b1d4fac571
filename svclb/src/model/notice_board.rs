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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectKey, ObjectKind, Reason};

    fn notice(field: &str) -> Notice {
        Notice {
            kind: ObjectKind::EndpointSlice,
            object: ObjectKey::default(),
            field: field.to_owned(),
            reason: Reason::InvalidAddress,
            message: String::new(),
            uid: None,
        }
    }

    #[test]
    fn a_notice_that_changes_hands_is_no_news() {
        let mut board = NoticeBoard::default();
        board.post([notice("b"), notice("a")]);
        assert_eq!(board.settle(), [notice("a"), notice("b")]);

        board.post([notice("a")]);
        board.withdraw([notice("a")]);
        assert_eq!(board.settle(), [], "the new owner was first");
        board.withdraw([notice("a")]);
        board.post([notice("a")]);
        assert_eq!(board.settle(), [], "the old owner was first");
        assert_eq!(board.iter().count(), 2);

        board.withdraw([notice("a")]);
        board.post([notice("c")]);
        assert_eq!(board.settle(), [notice("c")]);
        assert_eq!(board.iter().collect::<Vec<_>>(), [&notice("b"), &notice("c")]);

        board.post([notice("d")]);
        board.withdraw([notice("d")]);
        assert_eq!(board.settle(), [], "what did not last is not told");
        assert_eq!(board.iter().count(), 2);
    }
}
