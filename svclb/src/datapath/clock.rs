//! The clock that programs read.

use std::{fs, sync::LazyLock, time::Duration};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds that this process's monotonic clock is ahead of the kernel's own, which programs read: not zero in a time
/// namespace (Linux 5.6), where it stays what it is.
static AHEAD: LazyLock<i128> = LazyLock::new(|| {
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    monotonic(&offsets).unwrap_or_default()
});

/// What `timens_offsets` (`time_namespaces`(7)) says of the monotonic clock.
fn monotonic(offsets: &str) -> Option<i128> {
    let mut words = offsets.lines().find_map(|line| line.strip_prefix("monotonic "))?.split_whitespace();
    let seconds: i128 = words.next()?.parse().ok()?;
    let nanoseconds: i128 = words.next()?.parse().ok()?;
    Some(seconds * 1_000_000_000 + nanoseconds)
}

/// `bpf_ktime_get_ns()`, coarsely: nanoseconds since the kernel started, without the time it was suspended.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |now| i128::try_from(Duration::from(now).as_nanos()).unwrap_or(i128::MAX));
    u64::try_from(now.saturating_sub(*AHEAD)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_namespace_says_how_far_ahead_it_is() {
        let table = [
            ("monotonic           0         0\nboottime            0         0\n", Some(0)),
            ("monotonic      86400         5\nboottime            7         0\n", Some(86_400_000_000_005)),
            ("monotonic        -10 999999999\n", Some(-9_000_000_001)),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(monotonic(text), expected, "{text}");
        }
    }
}
