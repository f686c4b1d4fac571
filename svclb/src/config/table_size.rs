//! How many slots a Maglev table has.

use std::str::FromStr;

use serde::Serialize;

use crate::plan::layout::{MAGLEV_TABLE_SIZE, SIZES, is_prime};

/// `--maglev-table-size`: a prime, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TableSize(u32);

impl TableSize {
    /// The number of slots.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for TableSize {
    fn default() -> Self {
        Self(MAGLEV_TABLE_SIZE)
    }
}

impl TryFrom<u32> for TableSize {
    type Error = String;

    fn try_from(size: u32) -> Result<Self, String> {
        let (least, most) = SIZES.into_inner();
        if !SIZES.contains(&size) {
            return Err(format!("{size} is not from {least} to {most}"));
        }
        if !is_prime(size) {
            let next = (size..=u32::MAX).find(|&size| is_prime(size)).unwrap_or(size);
            return Err(format!("{size} is not prime; use {next}"));
        }
        Ok(Self(size))
    }
}

impl FromStr for TableSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u32>().map_err(|_not_a_number| format!("{text:?} is no number"))?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_prime_within_bounds() {
        let table = [
            ("251", Ok(TableSize(251))),
            ("16381", Ok(TableSize::default())),
            ("131071", Ok(TableSize(131_071))),
            ("241", Err("241 is not from 251 to 131071".into())),
            ("131072", Err("131072 is not from 251 to 131071".into())),
            ("1024", Err("1024 is not prime; use 1031".into())),
            ("x", Err("\"x\" is no number".into())),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
