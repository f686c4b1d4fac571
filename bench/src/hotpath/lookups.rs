//! How often a path asks hashes, and how many entries it writes.

use serde::Serialize;

/// What svclb's paths ask; a test holds them to it.
const PATHS: &str = include_str!("../../../bpf-fixtures/lookups");

/// What the floor asks: that is what it is.
const FLOOR: &[(&str, u32, u32)] = &[
    ("xdp: floor, new flows, both directions", 2, 2),
    ("xdp: floor, new flows", 2, 1),
    ("xdp: floor", 2, 0),
    ("tc: floor", 2, 0),
    ("xdp: parse, service", 1, 0),
    ("tc: parse, service", 1, 0),
];

/// Accesses to hashes by one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lookups {
    pub(crate) lookups: u32,
    pub(crate) writes: u32,
}

/// Those of the path whose name begins `path`, which may go on with what makes no difference.
pub(crate) fn of(path: &str) -> Option<Lookups> {
    let told = PATHS.lines().filter_map(|line| {
        let (name, counts) = line.rsplit_once(": ")?;
        let (lookups, writes) = counts.split_once(' ')?;
        Some((name, lookups.parse().ok()?, writes.parse().ok()?))
    });
    let is_of =
        |name: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with([',', ' ']));
    let known = told.chain(FLOOR.iter().copied()).filter(|(name, ..)| is_of(name));
    known.max_by_key(|(name, ..)| name.len()).map(|(_, lookups, writes)| Lookups { lookups, writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_counts() {
        let told = |path| of(path).map(|Lookups { lookups, writes }| (lookups, writes));
        assert_eq!(told("xdp: floor, new flows, both directions"), Some((2, 2)));
        assert_eq!(told("xdp: floor with bpf_fib_lookup"), Some((2, 0)));
        assert_eq!(told("uplink_xdp: node port, snat, 64k flows"), told("uplink_xdp: node port, snat"));
        assert_ne!(
            told("uplink_xdp: node port, snat, new flows, other"),
            told("uplink_xdp: node port, snat")
        );
        assert_eq!(told("xdp: verdict"), None);
    }
}
