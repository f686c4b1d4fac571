//! Pods whose sockets are to be left alone.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::core::v1::Pod;

use super::{ObjectKey, Settings, parse_address};
use crate::netdev::glob;

/// The annotation, or label, by which a pod says whether its calls may be translated: `on` or `off`.
pub const SOCKET_LB: &str = "svclb.io/socket-lb";

/// The annotation that holds the UID by which a kubelet knows a pod of its own folder. The Pod of the API server
/// that stands for it has another one.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// What a pod whose sockets are to be left alone is known by, or why that is not to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptOut {
    /// The UID that its control group is named by.
    Pod(String),
    /// What it asks for is ignored, for this reason.
    Ignored(String),
}

impl OptOut {
    /// What `pod` asks for; `None` for the usual, and for a pod that is not on this node or has ended.
    pub fn of(pod: &Pod, settings: &Settings) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        let is_elsewhere = spec.node_name.as_ref().is_some_and(|node| *node != settings.node_name);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if is_elsewhere || matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        let (annotations, labels) = (&pod.metadata.annotations, &pod.metadata.labels);
        let asked = [annotations, labels].into_iter().flatten().find_map(|texts| texts.get(SOCKET_LB));
        let class = spec.runtime_class_name.as_deref();
        let is_sandbox = |class| settings.sandboxes.iter().any(|pattern| glob::matches(pattern, class));
        let reason = match asked.map(String::as_str) {
            Some("off") => format!("{SOCKET_LB}: off"),
            Some("on") => return None,
            Some(other) => {
                return Some(Self::Ignored(format!("{SOCKET_LB}: {other:?} is neither \"on\" nor \"off\"")));
            }
            None => format!("runtimeClassName: {}", class.filter(|class| is_sandbox(class))?),
        };
        // Packets of the host's network are not translated where its sockets are.
        if spec.host_network == Some(true) {
            return Some(Self::Ignored(format!("{reason}: the pod is in the host's network")));
        }
        let uid = annotations.as_ref().and_then(|texts| texts.get(CONFIG_HASH)).or(pod.metadata.uid.as_ref());
        Some(match uid.filter(|uid| !uid.is_empty()) {
            Some(uid) => Self::Pod(uid.clone()),
            None => Self::Ignored(format!("{reason}: without metadata.uid nobody can find the pod")),
        })
    }
}

/// The addresses of a pod, as far as its status has them.
pub(super) fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    let ips = pod.status.iter().flat_map(|status| &status.pod_ips).flatten();
    ips.filter_map(|ip| parse_address(&ip.ip)).collect()
}

/// All of them, by their pods.
#[derive(Debug, Default)]
pub struct OptOuts(BTreeMap<ObjectKey, (OptOut, Vec<IpAddr>)>);

impl OptOuts {
    /// Takes note of what a pod asks for.
    pub(super) fn replace(&mut self, key: &ObjectKey, opt_out: Option<(OptOut, Vec<IpAddr>)>) {
        match opt_out {
            Some(opt_out) => self.0.insert(key.clone(), opt_out),
            None => self.0.remove(key),
        };
    }

    /// The UIDs by which kubelets name the control groups of the pods.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|(opt_out, _)| match opt_out {
            OptOut::Pod(uid) => Some(uid.as_str()),
            OptOut::Ignored(_) => None,
        })
    }

    /// The pods, with their addresses as far as those are known.
    pub fn pods(&self) -> impl Iterator<Item = (&ObjectKey, &[IpAddr])> {
        self.0
            .iter()
            .filter(|(_, (opt_out, _))| matches!(opt_out, OptOut::Pod(_)))
            .map(|(key, (_, addresses))| (key, &addresses[..]))
    }

    /// What pods ask for in vain, a line each.
    pub fn ignored(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(key, (opt_out, _))| match opt_out {
            OptOut::Pod(_) => None,
            OptOut::Ignored(reason) => Some(format!("Pod {key}: ignored: {reason}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::fixture;

    fn asked(pod: Value) -> Option<OptOut> {
        let sandboxes = ["gvisor", "kata*"].map(String::from).into();
        let settings = Settings { node_name: "here".into(), sandboxes, ..Settings::default() };
        OptOut::of(&fixture::from_json::<Pod>(pod), &settings)
    }

    fn pod(metadata: &Value, spec: &Value) -> Value {
        let mut all = json!({ "name": "a", "namespace": "b", "uid": "u-1" });
        all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        json!({ "metadata": all, "spec": spec })
    }

    #[test]
    fn who_opts_out() {
        let word = |field: &str, word: &str| json!({ field: { SOCKET_LB: word } });
        let here = || json!({ "nodeName": "here" });
        let class = |name: &str| json!({ "nodeName": "here", "runtimeClassName": name });
        let none = json!({});
        let table = [
            (pod(&none, &here()), None),
            (pod(&word("annotations", "off"), &here()), Some("u-1")),
            (pod(&word("labels", "off"), &here()), Some("u-1")),
            (pod(&word("labels", "off"), &json!({})), Some("u-1")),
            (pod(&word("labels", "off"), &json!({ "nodeName": "there" })), None),
            (pod(&none, &class("gvisor")), Some("u-1")),
            (pod(&none, &class("kata-qemu")), Some("u-1")),
            (pod(&none, &class("gvisor-2")), None),
            (pod(&word("annotations", "on"), &class("gvisor")), None),
            (
                pod(&json!({ "annotations": { SOCKET_LB: "off", CONFIG_HASH: "0123" } }), &here()),
                Some("0123"),
            ),
        ];
        for (pod, right) in table {
            assert_eq!(asked(pod.clone()), right.map(|uid| OptOut::Pod(uid.into())), "{pod}");
        }
        let mut ended = pod(&word("labels", "off"), &here());
        ended["status"] = json!({ "phase": "Succeeded" });
        assert_eq!(asked(ended), None);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let off = json!({ "labels": { SOCKET_LB: "off" } });
        let table = [
            (pod(&json!({ "labels": { SOCKET_LB: "of" } }), &json!({})), "neither \"on\" nor \"off\""),
            (pod(&off, &json!({ "hostNetwork": true })), "in the host's network"),
            (json!({ "metadata": off, "spec": {} }), "without metadata.uid"),
        ];
        for (pod, words) in table {
            let mut opt_outs = OptOuts::default();
            let key = ObjectKey { namespace: "b".into(), name: "a".into() };
            opt_outs.replace(&key, asked(pod).map(|opt_out| (opt_out, Vec::new())));
            let lines: Vec<_> = opt_outs.ignored().collect();
            assert!(lines[0].starts_with("Pod b/a: ignored: ") && lines[0].contains(words), "{lines:?}");
            assert_eq!(opt_outs.uids().count(), 0);
        }
    }
}
