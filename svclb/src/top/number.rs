//! Numbers in a few characters.

/// At most five characters: `0`, `1.25`, `12.3`, `999`, `1.50k`.
pub(super) fn short(mut number: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = match number {
        number if number == 0.0 || number >= 99.95 => 0,
        number if number >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.digits$}{}", UNITS[unit])
}

/// The same of a count, which has no fraction below a thousand.
#[expect(clippy::cast_precision_loss, reason = "it is read by people")]
pub(super) fn short_count(count: u64) -> String {
    if count < 1000 { count.to_string() } else { short(count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let table = [
            (0.0, "0"),
            (0.5, "0.50"),
            (1.25, "1.25"),
            (12.34, "12.3"),
            (99.96, "100"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (1_500_000.0, "1.50M"),
            (1e18, "1000P"),
        ];
        for (number, text) in table {
            assert_eq!(short(number), text);
            assert!(text.len() <= 5);
        }
        assert_eq!([7, 999, 1500].map(short_count), ["7", "999", "1.50k"]);
    }
}
