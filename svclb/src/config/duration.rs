//! Durations as Go writes them: `30s`, `1h0m0s`, `1.5ms`.

use std::{fmt::Write as _, time::Duration};

use serde::{Serialize, Serializer};

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration that a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoDuration(pub(super) Duration);

impl std::str::FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration such as 30s or 1h30m");
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (mut rest, mut nanos) = (text, 0_u64);
        while !rest.is_empty() || rest.len() == text.len() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, after) = rest.split_at(end);
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = scaled(number, *scale).ok_or_else(wrong)?;
            nanos = nanos.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok()).ok_or_else(wrong)?;
            rest = after;
        }
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

/// A decimal number of units in nanoseconds; digits too small for one are dropped.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut place = scale;
    // No digit further on is worth a nanosecond.
    for digit in fraction.bytes().take(18) {
        nanos = nanos.checked_add(u64::from(digit - b'0') * place / 10)?;
        place /= 10;
    }
    Some(nanos)
}

/// The way Go writes it, for durations of a second or more; shorter ones are fractions of a second.
pub(super) fn go(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let mut text = String::new();
    let written = (|| {
        if seconds >= 3600 {
            write!(text, "{}h", seconds / 3600)?;
        }
        if seconds >= 60 {
            write!(text, "{}m", seconds / 60 % 60)?;
        }
        write!(text, "{}", seconds % 60)?;
        if nanos > 0 {
            write!(text, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        text.write_char('s')
    })();
    // A string takes whatever is written to it.
    written.map_or_else(|_never| String::new(), |()| text)
}

/// For `#[serde(serialize_with)]`.
pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    go(*duration).serialize(serializer)
}

/// For `#[serde(serialize_with)]`.
#[expect(clippy::ref_option, reason = "serde passes a field by reference")]
pub(super) fn serialize_option<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(go).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> Option<u128> {
        text.parse::<GoDuration>().ok().map(|duration| duration.0.as_nanos())
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5ms", 500_000),
            ("1.ns", 1),
            ("1m30s", 90_000_000_000),
            ("2µs3us", 5_000),
            ("0.000000001s", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(nanos(text), Some(expected), "{text:?}");
        }
        for wrong in ["", "s", "1", "-1s", "1x", ".s", "1..2s", "1 s", "9223372036854775808ns", "999999999h"]
        {
            assert_eq!(nanos(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases = [(0, "0s"), (30_000, "30s"), (90_500, "1m30.5s"), (3_600_000, "1h0m0s"), (20, "0.02s")];
        for (millis, expected) in cases {
            assert_eq!(go(Duration::from_millis(millis)), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos in 0..=u64::MAX / 2) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(go(duration).parse(), Ok(GoDuration(duration)));
        }

        #[test]
        fn no_text_breaks_it(text in "[0-9.a-zµ-]{0,12}|.*") {
            drop(text.parse::<GoDuration>());
        }
    }
}
