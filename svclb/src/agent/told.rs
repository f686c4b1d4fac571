//! Lines for the log that are told once, for as long as they hold.

use std::collections::BTreeSet;

/// What was told and still holds.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<String>);

impl Told {
    /// Whether nothing holds.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Takes note of what holds now, and hands on what did not hold before.
    pub(super) fn now(&mut self, lines: impl IntoIterator<Item = String>, mut tell: impl FnMut(&str)) {
        let lines: BTreeSet<_> = lines.into_iter().collect();
        lines.difference(&self.0).for_each(|line| tell(line));
        self.0 = lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_once_until_it_has_ceased_to_hold() {
        let mut told = Told::default();
        let mut now = |lines: &[&str]| {
            let mut new = Vec::new();
            told.now(lines.iter().map(ToString::to_string), |line| new.push(line.to_owned()));
            new.join(" ")
        };
        assert_eq!(now(&["a", "b"]), "a b");
        assert_eq!(now(&["b", "c"]), "c");
        assert_eq!(now(&[]), "");
        assert_eq!(now(&["b"]), "b");
    }
}
