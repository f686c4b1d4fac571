//! What the kernel's connection tracking is asked for.

use std::time::Duration;

use serde::Serialize;

use super::duration;

/// The kernel's own largest table, above which kube-proxy does not go.
const MAX: u32 = 1_048_576;
/// Entries per CPU where only the least is given.
const PER_CPU: u32 = 32_768;
/// The least where only the number per CPU is given.
const MIN: u32 = 131_072;

/// `conntrack` of kube-proxy's configuration. What is not set stays as it is on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conntrack {
    /// Entries per CPU; 0 leaves the table as it is.
    pub max_per_core: Option<u32>,
    /// Entries at least.
    pub min: Option<u32>,
    /// For established TCP connections.
    #[serde(serialize_with = "duration::serialize_option")]
    pub tcp_established_timeout: Option<Duration>,
    /// For TCP connections that one side has closed.
    #[serde(serialize_with = "duration::serialize_option")]
    pub tcp_close_wait_timeout: Option<Duration>,
    /// Whether packets outside the window are let through.
    pub tcp_be_liberal: bool,
    /// For UDP without an answer.
    #[serde(serialize_with = "duration::serialize_option")]
    pub udp_timeout: Option<Duration>,
    /// For UDP with one.
    #[serde(serialize_with = "duration::serialize_option")]
    pub udp_stream_timeout: Option<Duration>,
}

impl Conntrack {
    /// `nf_conntrack_max` on a host with this many CPUs; `None` leaves it.
    pub fn max(&self, cpus: u32) -> Option<u32> {
        let (per_cpu, min) = match (self.max_per_core, self.min) {
            (Some(0), _) | (None, None | Some(0)) => return None,
            (Some(per_cpu), min) => (per_cpu, min.unwrap_or(MIN)),
            (None, Some(min)) => (PER_CPU, min),
        };
        Some(per_cpu.saturating_mul(cpus).max(min).min(MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_grows_with_the_cpus() {
        let cases = [
            (None, None, None),
            (Some(0), Some(500), None),
            (None, Some(0), None),
            (None, Some(500), Some(131_072)),
            (None, Some(200_000), Some(200_000)),
            (Some(1000), None, Some(131_072)),
            (Some(1000), Some(0), Some(4000)),
            (Some(1000), Some(5000), Some(5000)),
            (Some(u32::MAX), Some(0), Some(1_048_576)),
        ];
        for (max_per_core, min, expected) in cases {
            let conntrack = Conntrack { max_per_core, min, ..Conntrack::default() };
            assert_eq!(conntrack.max(4), expected, "{max_per_core:?} {min:?}");
        }
    }
}
