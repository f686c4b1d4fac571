//! Few numbers for many.

use serde::Serialize;

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the numbers are below.
    pub median: f64,
    /// A quarter is.
    pub lower: f64,
    /// Three quarters are.
    pub upper: f64,
}

impl Spread {
    /// That of at least one number; that of none is not a number.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return Self { median: f64::NAN, lower: f64::NAN, upper: f64::NAN };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        let quarter = sorted.len() / 4;
        Self { median, lower: sorted[quarter], upper: sorted[last - quarter] }
    }
}

/// The number below which `percent` of a hundred of them are: the nearest one that is there, 0 if there is none.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_few_and_of_many() {
        let of = |values: &[f64]| {
            let Spread { median, lower, upper } = Spread::of(values);
            (lower, median, upper)
        };
        assert!(of(&[]).1.is_nan());
        assert_eq!(of(&[3.0]), (3.0, 3.0, 3.0));
        assert_eq!(of(&[4.0, 1.0]), (1.0, 2.5, 4.0));
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 3.0, 4.0));
    }

    #[test]
    fn percentiles_are_numbers_that_are_there() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (percent, expected) in [(0, 1.0), (50, 51.0), (99, 100.0), (100, 100.0)] {
            assert_eq!(percentile(&hundred, percent).to_bits(), f64::to_bits(expected), "{percent}");
        }
        assert_eq!(percentile(&[], 50).to_bits(), 0.0_f64.to_bits());
        assert_eq!(percentile(&[7.0], 99).to_bits(), 7.0_f64.to_bits());
    }
}
