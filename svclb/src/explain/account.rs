//! A Service port as the API wants it and as the tables have it, in one shape.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32};

use serde::{Deserialize, Serialize};
use svclb_common::service::List;

use crate::{
    model::{self, BackendState, ServicePort, ServicePortKey, TrafficPolicy},
    plan::{Applied, Member, model_policy},
};

/// A Service port of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAccount {
    /// `spec.ports[].name`.
    pub port_name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Kind, address and port of each frontend.
    pub frontends: BTreeSet<String>,
    /// Who serves.
    pub backends: Vec<BackendAccount>,
    /// `internalTrafficPolicy`.
    pub internal: String,
    /// `externalTrafficPolicy`.
    pub external: String,
    /// Seconds of session affinity; 0 is none.
    pub affinity: u32,
    /// Ranges that may use load balancer addresses; none is everybody.
    pub source_ranges: Option<BTreeSet<String>>,
    /// How backends are chosen.
    pub algorithm: String,
}

/// An endpoint of a Service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackendAccount {
    /// Address and port.
    pub address: SocketAddr,
    /// The node that it is on.
    pub node: Option<String>,
    /// Whether that is this one.
    pub local: bool,
    /// Whether it is not ready, and serves nevertheless.
    pub terminating: bool,
    /// Whether new connections under policy `Cluster` may go to it.
    pub cluster: bool,
    /// The same under policy `Local`.
    pub in_local: bool,
    /// Its share.
    pub weight: u8,
}

impl PortAccount {
    /// As the API wants it.
    pub fn wanted(key: &ServicePortKey, port: &ServicePort) -> Self {
        let backends = port.backends.iter().map(|backend| BackendAccount {
            address: SocketAddr::new(backend.address, backend.port),
            node: backend.node.as_deref().map(Into::into),
            local: backend.local,
            terminating: backend.state == BackendState::Terminating,
            cluster: backend.lists.cluster,
            in_local: backend.lists.local,
            weight: backend.weight,
        });
        let frontends = port.frontends.iter().map(|it| frontend(it.kind.as_str(), it));
        Self { frontends: frontends.collect(), ..Self::new(key, &port.policy, backends.collect()) }
    }

    /// As the tables have it in the service cell `id`.
    pub fn written(applied: &Applied, key: &ServicePortKey, id: u32) -> Self {
        let tables = applied.tables(key.family);
        let backends = tables.backends_of(id).into_iter().filter_map(|(id, Member { lists, weight })| {
            let backend = tables.backend(id)?;
            Some(BackendAccount {
                address: SocketAddr::new(backend.key.address, backend.key.port),
                node: applied.node(backend.flags.node).map(str::to_owned),
                local: backend.flags.local,
                terminating: backend.flags.terminating,
                cluster: lists.contains(&List::Cluster),
                in_local: lists.contains(&List::Local),
                weight,
            })
        });
        let word = tables.service(id).map(|entry| entry.cell.policy).unwrap_or_default();
        let policy = model_policy(word, tables.source_ranges(id).cloned().unwrap_or_default());
        let frontends = tables.frontends_of(id).into_iter().flatten().map(|(it, kind)| {
            let it =
                model::Frontend { kind: model::FrontendKind::ClusterIp, address: it.address, port: it.port };
            frontend(kind.as_str(), &it)
        });
        Self { frontends: frontends.collect(), ..Self::new(key, &policy, backends.collect()) }
    }

    fn new(key: &ServicePortKey, policy: &model::Policy, mut backends: Vec<BackendAccount>) -> Self {
        backends.sort();
        let sources = policy.sources.as_ref();
        Self {
            port_name: key.port_name.as_ref().into(),
            protocol: key.protocol.as_str().into(),
            family: key.family.as_str().into(),
            frontends: BTreeSet::new(),
            backends,
            internal: policy_name(policy.internal).into(),
            external: policy_name(policy.external).into(),
            affinity: policy.affinity.map_or(0, NonZeroU32::get),
            source_ranges: sources.map(|sources| sources.ranges.iter().map(ToString::to_string).collect()),
            algorithm: policy.algorithm.as_str().into(),
        }
    }

    /// Whether it is the port of that key.
    pub fn is_of(&self, key: &ServicePortKey) -> bool {
        (&*self.port_name, &*self.protocol, &*self.family)
            == (&*key.port_name, key.protocol.as_str(), key.family.as_str())
    }

    /// Where what the tables have, `self`, is not what the API wants; a line for each.
    pub fn disagreements(&self, wanted: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut sets = |what: &str, has: BTreeSet<String>, wants: BTreeSet<String>| {
            lines.extend(wants.difference(&has).map(|it| format!("{what} {it} is missing in the tables")));
            lines.extend(
                has.difference(&wants)
                    .map(|it| format!("{what} {it} is in the tables, and the API does not have it")),
            );
        };
        sets("frontend", self.frontends.clone(), wanted.frontends.clone());
        let of = |port: &Self| -> BTreeSet<_> {
            let listed = port.backends.iter().filter(|backend| backend.is_listed());
            listed.map(BackendAccount::describe).collect()
        };
        sets("backend", of(self), of(wanted));
        let fields = [
            ("internalTrafficPolicy", &self.internal, &wanted.internal),
            ("externalTrafficPolicy", &self.external, &wanted.external),
            ("algorithm", &self.algorithm, &wanted.algorithm),
        ];
        for (what, has, wants) in fields.into_iter().filter(|(_, has, wants)| has != wants) {
            lines.push(format!("{what} is {has} in the tables, and {wants} in the API"));
        }
        if self.affinity != wanted.affinity {
            let (has, wants) = (self.affinity, wanted.affinity);
            lines.push(format!("session affinity is {has} s in the tables, and {wants} s in the API"));
        }
        if self.source_ranges != wanted.source_ranges {
            lines.push("loadBalancerSourceRanges are others in the tables than in the API".into());
        }
        lines
    }
}

impl BackendAccount {
    /// Whether anybody new is sent to it.
    pub fn is_listed(&self) -> bool {
        self.cluster || self.in_local
    }

    /// For people: address, node, weight.
    pub fn describe(&self) -> String {
        let Self { address, node, weight, terminating, .. } = self;
        let mut text = address.to_string();
        if let Some(node) = node {
            text.extend([" on ", node]);
        }
        if *weight != 1 {
            text.extend([" of weight ", &weight.to_string()]);
        }
        if *terminating {
            text.push_str(" (terminating)");
        }
        text
    }
}

fn frontend(kind: &str, frontend: &model::Frontend) -> String {
    format!("{kind} {frontend}")
}

fn policy_name(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortAccount {
        let backend = |last: u8, cluster| BackendAccount {
            address: ([10, 0, 0, last], 80).into(),
            node: Some("n".into()),
            local: false,
            terminating: false,
            cluster,
            in_local: false,
            weight: 1,
        };
        PortAccount {
            frontends: ["ClusterIP 10.96.0.1:80".to_owned()].into(),
            backends: vec![backend(1, true), backend(2, true), backend(3, false)],
            internal: "Cluster".into(),
            ..PortAccount::default()
        }
    }

    #[test]
    fn what_differs_is_named() {
        type Change = fn(&mut PortAccount);
        assert_eq!(port().disagreements(&port()), Vec::<String>::new());
        let table: [(Change, &str); 6] = [
            (|it| it.frontends.clear(), "frontend ClusterIP 10.96.0.1:80 is missing"),
            (|it| drop(it.backends.remove(0)), "backend 10.0.0.1:80 on n is missing"),
            (|it| it.backends[2].cluster = true, "backend 10.0.0.3:80 on n is in the tables, and the API"),
            (|it| it.internal = "Local".into(), "internalTrafficPolicy is Local in the tables, and Cluster"),
            (|it| it.affinity = 5, "session affinity is 5 s"),
            (|it| it.source_ranges = Some(BTreeSet::new()), "loadBalancerSourceRanges"),
        ];
        for (change, words) in table {
            let mut has = port();
            change(&mut has);
            let lines = has.disagreements(&port());
            assert!(lines.len() == 1 && lines[0].starts_with(words), "{lines:?}");
        }
        let mut idle = port();
        idle.backends.pop();
        assert_eq!(idle.disagreements(&port()), Vec::<String>::new(), "nobody selects it");
    }
}
