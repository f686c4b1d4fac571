//! Services that are deliberately not proxied.

use k8s_openapi::api::core::v1::Service;

use super::{Family, vip};

/// A Service with this label, whatever its value, belongs to another proxy.
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// Why a Service is not proxied (kube-proxy's `ShouldSkipService` and its watch filters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Labelled for another proxy.
    OtherProxy,
    /// `spec.type: ExternalName`.
    ExternalName,
    /// `spec.clusterIP: None`.
    Headless,
    /// No `spec.clusterIP` yet.
    NoClusterIp,
    /// `spec.clusterIPs` and `spec.ipFamilies` give no usable address in any family.
    UnusableClusterIp,
}

impl SkipReason {
    /// One sentence for a reader: why the Service is not proxied.
    pub fn explain(self) -> &'static str {
        match self {
            Self::OtherProxy => {
                "The label service.kubernetes.io/service-proxy-name leaves this Service to another proxy."
            }
            Self::ExternalName => {
                "A Service of type ExternalName is an alias in DNS and has no address to be proxied."
            }
            Self::Headless => {
                "A headless Service (clusterIP: None) has its endpoints in DNS and no address to be proxied."
            }
            Self::NoClusterIp => {
                "The Service has no clusterIP; the API server allocates it, and a manifest must state it."
            }
            Self::UnusableClusterIp => {
                "No clusterIP of the Service is an address of the family that ipFamilies gives it."
            }
        }
    }
}

/// A Service that is not proxied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skipped {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Why.
    pub reason: SkipReason,
}

/// Why `service` is not proxied; `None` if it is.
pub(super) fn reason(service: &Service) -> Option<SkipReason> {
    if service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL_PROXY_NAME)) {
        return Some(SkipReason::OtherProxy);
    }
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        return Some(SkipReason::ExternalName);
    }
    match spec.and_then(|spec| spec.cluster_ip.as_deref()) {
        None | Some("") => Some(SkipReason::NoClusterIp),
        Some("None") => Some(SkipReason::Headless),
        Some(_) if Family::ALL.into_iter().all(|family| vip::cluster_ip(service, family).is_none()) => {
            Some(SkipReason::UnusableClusterIp)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::fixture;

    fn reason_of(labels: &Value, spec: &Value) -> Option<SkipReason> {
        reason(&fixture::from_json(json!({ "metadata": { "labels": labels }, "spec": spec })))
    }

    #[test]
    fn only_services_with_a_cluster_ip_of_their_own_are_proxied() {
        let none = json!({});
        let label = |value: &str| json!({ "service.kubernetes.io/service-proxy-name": value });
        let vip = json!({ "clusterIP": "10.0.0.1" });
        let table = [
            ("cluster IP", &none, vip.clone(), None),
            ("other proxy", &label("cilium"), vip.clone(), Some(SkipReason::OtherProxy)),
            ("other proxy, empty value", &label(""), vip, Some(SkipReason::OtherProxy)),
            ("no spec", &none, Value::Null, Some(SkipReason::NoClusterIp)),
            ("no address", &none, json!({}), Some(SkipReason::NoClusterIp)),
            ("empty address", &none, json!({ "clusterIP": "" }), Some(SkipReason::NoClusterIp)),
            ("headless", &none, json!({ "clusterIP": "None" }), Some(SkipReason::Headless)),
            (
                "headless load balancer",
                &none,
                json!({ "clusterIP": "None", "type": "LoadBalancer" }),
                Some(SkipReason::Headless),
            ),
            (
                "ExternalName",
                &none,
                json!({ "type": "ExternalName", "externalName": "example.com" }),
                Some(SkipReason::ExternalName),
            ),
            (
                "ExternalName although an address is set",
                &none,
                json!({ "type": "ExternalName", "clusterIP": "10.0.0.1" }),
                Some(SkipReason::ExternalName),
            ),
            ("not an address", &none, json!({ "clusterIP": "x" }), Some(SkipReason::UnusableClusterIp)),
        ];
        for (case, labels, spec, expected) in table {
            assert_eq!(reason_of(labels, &spec), expected, "{case}");
        }
    }
}
