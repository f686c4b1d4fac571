//! A service's policy: the model's words and the maps' word.

use std::{collections::BTreeSet, num::NonZeroU32};

use ipnet::IpNet;
use svclb_common::service::{
    self, Policy, SERVICE_ADMITS_HOST, SERVICE_EXTERNAL_LOCAL, SERVICE_HAS_ENDPOINTS, SERVICE_INTERNAL_LOCAL,
    SERVICE_RESTRICTED,
};

use crate::model::{self, Algorithm, Rate, SourceRanges, TrafficPolicy};

/// The flags that say which list clients select from.
pub(super) const LIST_FLAGS: u32 = SERVICE_INTERNAL_LOCAL | SERVICE_EXTERNAL_LOCAL;

/// The word that the maps hold for `policy`.
pub fn map_policy(policy: &model::Policy) -> Policy {
    let sources = policy.sources.as_ref();
    let flags = [
        (policy.internal == TrafficPolicy::Local, SERVICE_INTERNAL_LOCAL),
        (policy.external == TrafficPolicy::Local, SERVICE_EXTERNAL_LOCAL),
        (policy.has_endpoints, SERVICE_HAS_ENDPOINTS),
        (sources.is_some(), SERVICE_RESTRICTED),
        (sources.is_some_and(|sources| sources.admits_host), SERVICE_ADMITS_HOST),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag);
    Policy {
        flags: flags | map_algorithm(policy.algorithm).flags() | Policy::rate_flags(policy.rate.get()),
        affinity: policy.affinity.map_or(0, NonZeroU32::get),
    }
}

/// What the maps hold as `policy` and `ranges`, in the model's words.
pub fn model_policy(policy: Policy, ranges: BTreeSet<IpNet>) -> model::Policy {
    let local = |flag| if policy.has(flag) { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
    let sources = SourceRanges { ranges, admits_host: policy.has(SERVICE_ADMITS_HOST) };
    model::Policy {
        internal: local(SERVICE_INTERNAL_LOCAL),
        external: local(SERVICE_EXTERNAL_LOCAL),
        affinity: NonZeroU32::new(policy.affinity),
        sources: policy.has(SERVICE_RESTRICTED).then_some(sources),
        has_endpoints: policy.has(SERVICE_HAS_ENDPOINTS),
        algorithm: model_algorithm(policy.algorithm()),
        // No word holds more.
        rate: Rate::try_from(policy.rate()).unwrap_or_default(),
    }
}

/// The number that the maps hold for `algorithm`.
fn map_algorithm(algorithm: Algorithm) -> service::Algorithm {
    match algorithm {
        Algorithm::Random => service::Algorithm::Random,
        Algorithm::RoundRobin => service::Algorithm::RoundRobin,
        Algorithm::LeastConn => service::Algorithm::LeastConn,
        Algorithm::Maglev => service::Algorithm::Maglev,
        Algorithm::SourceHash => service::Algorithm::SourceHash,
    }
}

/// The inverse.
fn model_algorithm(algorithm: service::Algorithm) -> Algorithm {
    Algorithm::ALL.into_iter().find(|known| map_algorithm(*known) == algorithm).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_policy_comes_back_as_it_was(flags in 0..32u32, algorithm in 0..5u32, rate in 0..1u32 << 20, affinity: u32) {
            let admits_nobody = flags & SERVICE_RESTRICTED == 0 && flags & SERVICE_ADMITS_HOST != 0;
            let flags = if admits_nobody { flags & !SERVICE_ADMITS_HOST } else { flags };
            let policy = Policy { flags: flags | algorithm << 8 | rate << 12, affinity };
            prop_assert_eq!(map_policy(&model_policy(policy, BTreeSet::new())), policy);
        }
    }
}
