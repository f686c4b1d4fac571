//! Few numbers for many.

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// Median and quartiles of at least one number.
pub(crate) fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    let quarter = sorted.len() / 4;
    Spread { median, lower: sorted[quarter], upper: sorted[last - quarter] }
}

/// Mean of the middle half: what a shared machine did to some of them does not count.
pub(crate) fn middle_half(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let middle = &sorted[quarter..sorted.len() - quarter];
    let (sum, count) = middle.iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_few_and_of_many() {
        let of = |values: &[f64]| {
            let Spread { median, lower, upper } = spread(values);
            (lower, median, upper)
        };
        assert_eq!(of(&[3.0]), (3.0, 3.0, 3.0));
        assert_eq!(of(&[4.0, 1.0]), (1.0, 2.5, 4.0));
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 3.0, 4.0));
    }

    #[test]
    fn what_lies_far_off_does_not_count() {
        assert_eq!(middle_half(&[900.0, 2.0, 4.0, 0.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(middle_half(&[7.0]).to_bits(), 7.0_f64.to_bits());
    }
}
