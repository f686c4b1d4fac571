//! Turns in proportion to weights, spread evenly.

/// Most slots of a list whose weights differ: 16 KiB. Forty backends have their exact weights, whatever these are.
const MOST: u32 = 4096;

/// Whose turn it is, round after round: each as often as it weighs, smoothly, as nginx does it. Each time everybody
/// gains its weight, and the one with the most gives up what all weigh together.
pub(super) fn turns(weights: &[u32]) -> Vec<u32> {
    let weights = shares(weights);
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        let mut first = 0;
        for (at, weight) in weights.iter().enumerate() {
            credits[at] += weight;
            if credits[at] > credits[first] {
                first = at;
            }
        }
        credits[first] -= total;
        turns.push(first as u32);
    }
    turns
}

/// The smallest numbers in the same proportion. Where they come to more than [`MOST`], the nearest that do not, and
/// at least one for each.
fn shares(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total: u32 = weights.iter().map(|weight| weight / divisor).sum();
    let share = |&weight: &u32| {
        let weight = weight / divisor;
        if total <= MOST { weight } else { ((weight * MOST + total / 2) / total).max(1) }
    };
    weights.iter().map(|weight| i64::from(share(weight))).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        let table: [(&[u32], &[u32]); 5] = [
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
            (&[50, 10, 10], &[0, 0, 1, 0, 2, 0, 0]),
            (&[1, 2], &[1, 0, 1]),
            (&[3, 2], &[0, 1, 0, 1, 0]),
            (&[4], &[0]),
        ];
        for (weights, expected) in table {
            assert_eq!(turns(weights), expected, "{weights:?}");
        }
    }

    fn counts(weights: &[u32]) -> Vec<u32> {
        let mut counts = vec![0; weights.len()];
        for at in turns(weights) {
            counts[at as usize] += 1;
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Exact up to forty backends.
        #[test]
        fn few_backends_have_exactly_what_they_weigh(weights in vec(1..=100u32, 1..=40)) {
            let counts = counts(&weights);
            for (a, weight_a) in counts.iter().zip(&weights) {
                for (b, weight_b) in counts.iter().zip(&weights) {
                    prop_assert_eq!(a * weight_b, b * weight_a);
                }
            }
        }

        /// With more, half a slot more or less than that, and at least one.
        #[test]
        fn many_backends_have_nearly_what_they_weigh(weights in vec(1..=100u32, 41..=600)) {
            let (counts, total) = (counts(&weights), weights.iter().sum::<u32>());
            for (count, weight) in counts.iter().zip(&weights) {
                let ideal = f64::from(*weight) / f64::from(total) * f64::from(MOST.min(total));
                prop_assert!(*count >= 1);
                prop_assert!((f64::from(*count) - ideal).abs() <= 1.0, "{} of {}", count, ideal);
            }
        }
    }
}
