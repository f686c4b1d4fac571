//! Devices that have refused their programs, and what was said about it.

use std::collections::BTreeMap;

use nix::net::if_::if_indextoname;

use super::Error;

/// Devices by index, with the line that each was told of.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<u32, String>);

impl Refusals {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The devices, with their lines.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().map(|(ifindex, line)| (*ifindex, line.as_str()))
    }

    /// Forgets devices that nothing is wanted of.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u32) -> bool) {
        self.0.retain(|ifindex, _| is_wanted(*ifindex));
    }

    /// Takes in what came of a device, and tells of an error once.
    pub(super) fn note(&mut self, (ifindex, device): (u32, &str), outcome: Result<(), Error>) {
        let Err(error) = outcome else {
            self.0.remove(&ifindex);
            return;
        };
        let line = error.to_string();
        if self.0.get(&ifindex) != Some(&line) {
            if is_gone(ifindex) {
                tracing::debug!(device, "{line}");
            } else {
                tracing::warn!(device, "{line}");
            }
            self.0.insert(ifindex, line);
        }
    }
}

/// Whether a device has gone since it was listed, of which the next list will know.
pub(super) fn is_gone(ifindex: u32) -> bool {
    // nix takes the null pointer of a failure for an empty name.
    if_indextoname(ifindex).map_or(true, |name| name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_without_a_device_is_gone() {
        assert!(!is_gone(1), "loopback");
        assert!(is_gone(u32::MAX >> 1));
    }
}
