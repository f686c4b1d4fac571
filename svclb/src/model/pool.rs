//! Texts that many objects have in common.

use std::{collections::BTreeSet, sync::Arc};

/// Texts that many objects have in common, each once in memory: a hundred thousand endpoints are on some hundred nodes.
#[derive(Debug, Default)]
pub(super) struct Pool {
    texts: BTreeSet<Arc<str>>,
    /// How many there were when those that nobody has any more were last given up.
    kept: usize,
}

impl Pool {
    /// The one `text`.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= 2 * self.kept.max(64) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.kept = self.texts.len();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_once_and_goes_when_nobody_has_it() {
        let mut pool = Pool::default();
        let held: Vec<_> = (0..50).map(|number| pool.text(&number.to_string())).collect();
        assert!(Arc::ptr_eq(&held[7], &pool.text("7")));
        for number in 0..10_000 {
            pool.text(&format!("of a moment {number}"));
        }
        assert!(pool.texts.len() <= 128 + 1, "{}", pool.texts.len());
        assert!(Arc::ptr_eq(&held[7], &pool.text("7")));
    }
}
