//! What counts of a Service.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32};

use ipnet::IpNet;
use k8s_openapi::{
    api::core::v1::{Service, ServiceSpec},
    jiff::Timestamp,
};

use super::{
    Algorithm, Family, FrontendKind, Notice, Rate, Reason, TrafficPolicy, algorithm,
    pool::Pool,
    port::{self, ProxiedPort},
    rate, source_ranges, vip, weights,
};

/// The API's default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_DEFAULT: NonZeroU32 = NonZeroU32::new(10_800).expect("not zero");
/// The longest that the API allows: a day.
const AFFINITY_MAX: u32 = 86_400;

/// What counts of a Service that is proxied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceFacts {
    /// `metadata.creationTimestamp`.
    pub(super) created: Option<Timestamp>,
    /// Its ports that can be proxied.
    pub(super) ports: Box<[ProxiedPort]>,
    /// Its addresses in each family in which it has a ClusterIP.
    pub(super) families: Box<[FamilyFacts]>,
    /// `spec.internalTrafficPolicy`.
    pub(super) internal: TrafficPolicy,
    /// `spec.externalTrafficPolicy`, where it counts.
    pub(super) external: TrafficPolicy,
    /// Seconds of session affinity.
    pub(super) affinity: Option<NonZeroU32>,
    /// `spec.loadBalancerSourceRanges` of both families.
    pub(super) ranges: Box<[IpNet]>,
    /// The algorithm that it asks for.
    pub(super) algorithm: Option<Algorithm>,
    /// The new flows a second that it asks for at most.
    pub(super) rate: Option<Rate>,
    /// The weights that it gives its endpoints.
    pub(super) weights: BTreeMap<IpAddr, u8>,
    /// The port of its health check, if a load balancer is to have one.
    pub(super) health_check: Option<u16>,
    /// What cannot be had of what it asks for.
    pub(super) notices: Vec<Notice>,
}

/// The addresses of a Service in one family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FamilyFacts {
    /// The family.
    pub(super) family: Family,
    /// Its addresses there, each with why it has it.
    pub(super) vips: Box<[(FrontendKind, IpAddr)]>,
}

impl ServiceFacts {
    /// What counts of `service`, which is proxied.
    pub(super) fn of(service: &Service) -> Self {
        let none = ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&none);
        let mut notices = vip::notices(service);
        let (ports, left_out) = port::of_service(service);
        notices.extend(left_out);
        let (ranges, invalid) = source_ranges::listed(service);
        notices.extend(invalid);
        let with_address =
            Family::ALL.into_iter().filter(|&family| vip::cluster_ip(service, family).is_some());
        let families: Box<[_]> = with_address
            .map(|family| FamilyFacts { family, vips: vip::vips(service, family).into_iter().collect() })
            .collect();
        let is_balanced =
            |of: &&FamilyFacts| of.vips.iter().any(|(kind, _)| *kind == FrontendKind::LoadBalancer);
        let balanced = families.iter().filter(is_balanced);
        notices.extend(balanced.filter_map(|of| source_ranges::open_family(service, &ranges, of.family)));
        let external = external_policy(spec);
        Self {
            created: service.metadata.creation_timestamp.as_ref().map(|time| time.0),
            ports: ports.into(),
            families,
            internal: traffic_policy(spec.internal_traffic_policy.as_deref()),
            external,
            affinity: affinity(service, spec, &mut notices),
            ranges: ranges.into(),
            algorithm: annotated_algorithm(service, &mut notices),
            rate: annotated_rate(service, &mut notices),
            weights: annotated_weights(service, &mut notices),
            health_check: health_check(service, spec, external, &mut notices),
            notices,
        }
    }
}

impl ServiceFacts {
    /// Lets it have its texts in common with others.
    pub(super) fn share(&mut self, pool: &mut Pool) {
        for port in &mut self.ports {
            port.name = pool.text(&port.name);
        }
    }
}

fn traffic_policy(field: Option<&str>) -> TrafficPolicy {
    if field == Some("Local") { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
}

/// The policy exists only for Services that can be reached from outside (the API's `ExternalPolicyLocal`).
fn external_policy(spec: &ServiceSpec) -> TrafficPolicy {
    let is_reachable = match spec.type_.as_deref() {
        Some("NodePort" | "LoadBalancer") => true,
        None | Some("ClusterIP") => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        Some(_) => false,
    };
    if is_reachable {
        traffic_policy(spec.external_traffic_policy.as_deref())
    } else {
        TrafficPolicy::Cluster
    }
}

fn affinity(service: &Service, spec: &ServiceSpec, notices: &mut Vec<Notice>) -> Option<NonZeroU32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = config.and_then(|config| config.timeout_seconds) else {
        return Some(AFFINITY_DEFAULT);
    };
    let allowed = u32::try_from(seconds).ok().filter(|seconds| *seconds <= AFFINITY_MAX);
    allowed.and_then(NonZeroU32::new).or_else(|| {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let message = format!("{seconds} is not from 1 to {AFFINITY_MAX}: {AFFINITY_DEFAULT} is used");
        notices.push(Notice::service(service, Reason::InvalidAffinityTimeout, field, message));
        Some(AFFINITY_DEFAULT)
    })
}

fn health_check(
    service: &Service,
    spec: &ServiceSpec,
    external: TrafficPolicy,
    notices: &mut Vec<Notice>,
) -> Option<u16> {
    if spec.type_.as_deref() != Some("LoadBalancer") || external != TrafficPolicy::Local {
        return None;
    }
    let port =
        spec.health_check_node_port.and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
    if port.is_none() {
        let message = "not a port number: load balancers cannot ask which nodes have endpoints";
        let field = "spec.healthCheckNodePort";
        notices.push(Notice::service(service, Reason::NoHealthCheckPort, field, message));
    }
    port
}

fn annotation<'a>(service: &'a Service, name: &str) -> Option<&'a str> {
    service.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn annotated_algorithm(service: &Service, notices: &mut Vec<Notice>) -> Option<Algorithm> {
    let name = annotation(service, algorithm::ANNOTATION)?;
    let known = Algorithm::parse(name);
    if known.is_none() {
        let names = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        let message = format!("{name:?} is none of {names}: ignored");
        notices.push(Notice::service(
            service,
            Reason::InvalidAlgorithm,
            field(algorithm::ANNOTATION),
            message,
        ));
    }
    known
}

fn annotated_rate(service: &Service, notices: &mut Vec<Notice>) -> Option<Rate> {
    let parsed = annotation(service, rate::ANNOTATION)?.parse();
    parsed
        .map_err(|message: String| {
            let message = format!("{message}: ignored");
            notices.push(Notice::service(service, Reason::InvalidRate, field(rate::ANNOTATION), message));
        })
        .ok()
}

fn annotated_weights(service: &Service, notices: &mut Vec<Notice>) -> BTreeMap<IpAddr, u8> {
    let Some(text) = annotation(service, weights::ANNOTATION) else { return BTreeMap::new() };
    let (weights, wrong) = weights::parse(text);
    for message in wrong {
        notices.push(Notice::service(service, Reason::InvalidWeight, field(weights::ANNOTATION), message));
    }
    weights
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

#[cfg(test)]
mod tests;
