//! The virtual addresses of a Service.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::Service;

use super::{Family, FrontendKind, Notice, Reason, parse_address};

/// The ClusterIP of `family`: the entry of `clusterIPs` at the place where `ipFamilies` has the family. If
/// one of the lists is not there, `clusterIP` if it is of the family (kube-proxy's `GetClusterIPByFamily`).
pub(super) fn cluster_ip(service: &Service, family: Family) -> Option<IpAddr> {
    let spec = service.spec.as_ref()?;
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let addresses = spec.cluster_ips.as_deref().unwrap_or_default();
    let text = if families.is_empty() || addresses.is_empty() {
        spec.cluster_ip.as_deref()?
    } else {
        let place = families.iter().position(|name| name == family.as_str())?;
        addresses.get(place)?
    };
    parse_address(text).filter(|address| Family::of(*address) == family)
}

/// Every address of `family` that `service` answers on, given that it has a ClusterIP there.
pub(super) fn vips(service: &Service, family: Family) -> BTreeSet<(FrontendKind, IpAddr)> {
    let cluster = cluster_ip(service, family).map(|address| (FrontendKind::ClusterIp, address));
    let external = external(service).filter_map(|claim| Some((claim.kind, parse_address(claim.text)?)));
    cluster.into_iter().chain(external).filter(|(_, address)| Family::of(*address) == family).collect()
}

/// What cannot be used of the addresses of a Service.
pub(super) fn notices(service: &Service) -> Vec<Notice> {
    external(service)
        .filter_map(|claim| {
            let message = match parse_address(claim.text).map(Family::of) {
                None => format!("{:?} is not an IP address: ignored", claim.text),
                Some(family) if cluster_ip(service, family).is_none() => {
                    format!("{} is ignored: the Service has no {family} ClusterIP", claim.text)
                }
                Some(_) => return None,
            };
            Some(Notice::service(service, Reason::InvalidAddress, claim.field, message))
        })
        .chain(mismatched_cluster_ips(service))
        .collect()
}

/// An address that a Service claims outside of the cluster's own ranges.
struct ExternalClaim<'a> {
    kind: FrontendKind,
    field: String,
    text: &'a str,
}

fn external(service: &Service) -> impl Iterator<Item = ExternalClaim<'_>> {
    let listed = service.spec.as_ref().and_then(|spec| spec.external_ips.as_deref()).unwrap_or_default();
    let external_ips = listed.iter().enumerate().map(|(i, text)| ExternalClaim {
        kind: FrontendKind::ExternalIp,
        field: format!("spec.externalIPs[{i}]"),
        text,
    });
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    // A load balancer in mode Proxy is a hop of its own: its address must reach it and not be answered here.
    // The Service's type does not matter.
    let is_vip = |mode: Option<&str>| matches!(mode, None | Some("VIP"));
    let balancer_ips = ingress.iter().enumerate().filter_map(move |(i, entry)| {
        let text = entry.ip.as_deref().filter(|_| is_vip(entry.ip_mode.as_deref()))?;
        let field = format!("status.loadBalancer.ingress[{i}].ip");
        Some(ExternalClaim { kind: FrontendKind::LoadBalancer, field, text })
    });
    external_ips.chain(balancer_ips).filter(|claim| !claim.text.is_empty())
}

fn mismatched_cluster_ips(service: &Service) -> Vec<Notice> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let pairs = spec.ip_families.iter().flatten().zip(spec.cluster_ips.iter().flatten());
    pairs
        .enumerate()
        .filter(|(_, (family, text))| parse_address(text).is_none_or(|ip| Family::of(ip).as_str() != *family))
        .map(|(i, (family, text))| {
            let message = format!("{text:?} is not an {family} address: ignored");
            Notice::service(service, Reason::InvalidAddress, format!("spec.clusterIPs[{i}]"), message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::fixture;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_cluster_ip_of_a_family_stands_where_ip_families_says() {
        let (v4, v6) = (Some("10.0.0.1"), Some("fd00::1"));
        let both = ["10.0.0.1", "fd00::1"];
        let table = [
            ("only clusterIP", json!({ "clusterIP": "10.0.0.1" }), v4, None),
            ("only clusterIP, IPv6", json!({ "clusterIP": "fd00::1" }), None, v6),
            (
                "no families: clusterIPs is not read",
                json!({ "clusterIP": "10.0.0.1", "clusterIPs": both }),
                v4,
                None,
            ),
            (
                "dual-stack",
                json!({ "clusterIP": "10.0.0.1", "clusterIPs": both, "ipFamilies": ["IPv4", "IPv6"] }),
                v4,
                v6,
            ),
            (
                "dual-stack, IPv6 first",
                json!({ "clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.1"],
                    "ipFamilies": ["IPv6", "IPv4"] }),
                v4,
                v6,
            ),
            (
                "fewer addresses than families",
                json!({ "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4", "IPv6"] }),
                v4,
                None,
            ),
            (
                "an address under the wrong family",
                json!({ "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"] }),
                None,
                None,
            ),
            ("headless", json!({ "clusterIP": "None" }), None, None),
            ("nothing", json!({}), None, None),
        ];
        for (case, spec, v4, v6) in table {
            let service = fixture::service("web", &spec);
            assert_eq!(cluster_ip(&service, Family::V4), v4.map(ip), "{case}");
            assert_eq!(cluster_ip(&service, Family::V6), v6.map(ip), "{case}");
        }
    }

    #[test]
    fn load_balancer_addresses_count_in_vip_mode_only() {
        let table: [(&str, Value, &[&str]); 7] = [
            ("no mode", json!([{ "ip": "192.0.2.1" }]), &["192.0.2.1"]),
            ("mode VIP", json!([{ "ip": "192.0.2.1", "ipMode": "VIP" }]), &["192.0.2.1"]),
            ("mode Proxy", json!([{ "ip": "192.0.2.1", "ipMode": "Proxy" }]), &[]),
            ("host name", json!([{ "hostname": "lb.example.com" }]), &[]),
            ("empty address", json!([{ "ip": "" }]), &[]),
            ("not an address", json!([{ "ip": "x" }]), &[]),
            ("several", json!([{ "ip": "192.0.2.1" }, { "ip": "192.0.2.2" }]), &["192.0.2.1", "192.0.2.2"]),
        ];
        for (case, ingress, expected) in table {
            let service: Service = fixture::from_json(json!({
                "spec": { "type": "ClusterIP" }, "status": { "loadBalancer": { "ingress": ingress } },
            }));
            let expected: BTreeSet<_> =
                expected.iter().map(|a| (FrontendKind::LoadBalancer, ip(a))).collect();
            assert_eq!(vips(&service, Family::V4), expected, "{case}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_used_are_named() {
        let service: Service = fixture::from_json(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"],
                "ipFamilies": ["IPv4", "IPv6"],
                "externalIPs": ["192.0.2.1", "", "x", "2001:db8::1"],
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": "y" }, { "ip": "z", "ipMode": "Proxy" }] } },
        }));
        let fields: Vec<_> = notices(&service).into_iter().map(|notice| notice.field).collect();
        let expected = [
            "spec.externalIPs[2]",
            "spec.externalIPs[3]",
            "status.loadBalancer.ingress[0].ip",
            "spec.clusterIPs[1]",
        ];
        assert_eq!(fields, expected);
    }
}
