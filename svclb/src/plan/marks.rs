//! Which cells a plan has come across.

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<bool>);

impl Marks {
    /// Adds `number`. Returns whether it is new.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let at = number as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, false);
        }
        !std::mem::replace(&mut self.0[at], true)
    }

    /// Whether `number` was added.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize).is_some_and(|&marked| marked)
    }
}
