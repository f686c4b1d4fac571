//! Few numbers for many.

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
    fn what_lies_far_off_does_not_count() {
        assert_eq!(middle_half(&[900.0, 2.0, 4.0, 0.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(middle_half(&[7.0]).to_bits(), 7.0_f64.to_bits());
    }
}
