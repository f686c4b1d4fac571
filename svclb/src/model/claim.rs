//! Who answers when two Service ports claim the same address and port.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::jiff::Timestamp;

use super::{Family, Frontend, FrontendKind, Protocol, ServicePortKey};
use crate::compact::compact;

/// What can be claimed once. A NodePort claims its number on all local addresses; a VIP that is one of them
/// comes first in the datapath and is a claim of its own.
pub(super) type Claim = (Family, Option<IpAddr>, u16, Protocol);

/// The claim that `frontend` is for the Service port `key`.
pub(super) fn claim(key: &ServicePortKey, frontend: &Frontend) -> Claim {
    (key.family, frontend.address, frontend.port, key.protocol)
}

/// The place of a Service port among those that claim the same as frontends of one kind. The older Service comes first
/// (`metadata.creationTimestamp`; one that does not state it comes last), then namespace and name decide. kube-proxy
/// leaves this undefined.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    is_undated: bool,
    created: Option<Timestamp>,
    /// The Service port.
    pub(super) key: ServicePortKey,
}

impl Rank {
    /// The rank of the port `key` of a Service that was created then.
    pub(super) fn new(created: Option<Timestamp>, key: ServicePortKey) -> Self {
        Self { is_undated: created.is_none(), created, key }
    }
}

/// A frontend that somebody asks for. The kind comes first: nobody takes an allocated address from its Service by
/// writing it into another one. One Service port may ask for one address as several kinds; the first counts.
type Claimant = (FrontendKind, Arc<Rank>);

/// Every claim and who has made it, in the order of precedence. Almost every claim has one claimant.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<Claim, Vec<Claimant>>);

impl Claims {
    /// Adds a claimant.
    pub(super) fn insert(&mut self, rank: &Arc<Rank>, frontend: &Frontend) -> Claim {
        let claim = claim(&rank.key, frontend);
        let claimants = self.0.entry(claim).or_insert_with(|| Vec::with_capacity(1));
        let claimant = (frontend.kind, rank.clone());
        if let Err(place) = claimants.binary_search(&claimant) {
            claimants.insert(place, claimant);
        }
        claim
    }

    /// Removes a claimant; the next one takes over.
    pub(super) fn remove(&mut self, rank: &Arc<Rank>, frontend: &Frontend) -> Claim {
        let claim = claim(&rank.key, frontend);
        if let Some(claimants) = self.0.get_mut(&claim) {
            claimants.retain(|(kind, other)| (other, *kind) != (rank, frontend.kind));
            if claimants.is_empty() {
                self.0.remove(&claim);
            }
        }
        claim
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.0);
    }

    /// Everybody who claims that.
    pub(super) fn claimants(&self, claim: &Claim) -> impl Iterator<Item = &ServicePortKey> {
        self.0.get(claim).into_iter().flatten().map(|(_, rank)| &rank.key)
    }

    /// `Ok` if the Service port `key` keeps `frontend`; else who has it instead.
    pub(super) fn judge(&self, key: &ServicePortKey, frontend: &Frontend) -> Result<(), &ServicePortKey> {
        match self.0.get(&claim(key, frontend)).and_then(|claimants| claimants.first()) {
            Some((kind, owner)) if (&owner.key, *kind) != (key, frontend.kind) => Err(&owner.key),
            _ => Ok(()),
        }
    }
}

/// What the owner of `loser` is told.
pub(super) fn lost(frontend: &Frontend, loser: &ServicePortKey, owner: &ServicePortKey) -> String {
    let protocol = loser.protocol;
    if loser == owner {
        return format!("{frontend}/{protocol} is an address of this port already");
    }
    format!("{frontend}/{protocol} belongs to {owner}: {loser} does not answer there")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use crate::model::fixture;

    fn service(name: &str, created: Option<&str>, spec: &Value) -> Service {
        fixture::from_json(json!({
            "metadata": { "namespace": "default", "name": name, "creationTimestamp": created }, "spec": spec,
        }))
    }

    fn spec(cluster_ip: &str, protocol: &str, node_port: i32) -> Value {
        json!({
            "clusterIP": cluster_ip, "externalIPs": ["192.0.2.1"],
            "ports": [{ "port": 80, "protocol": protocol, "nodePort": node_port }],
        })
    }

    #[test]
    fn the_older_service_keeps_a_contested_address_and_node_port() {
        let (old, new) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"));
        let table = [
            ("by age", old, new, "a"),
            ("by age, against the names", new, old, "b"),
            ("same age: by name", old, old, "a"),
            ("no age at all: by name", None, None, "a"),
            ("a stated age goes first", None, new, "b"),
        ];
        for (case, a, b, winner) in table {
            let services = vec![
                service("a", a, &spec("10.0.0.1", "TCP", 30000)),
                service("b", b, &spec("10.0.0.2", "TCP", 30000)),
            ];
            let snapshot = fixture::snapshot(services, vec![]);
            let kept: Vec<_> = fixture::frontends(&snapshot)
                .into_iter()
                .filter(|line| line.contains("ExternalIP") || line.contains("NodePort"))
                .collect();
            let key = format!("default/{winner}/TCP (IPv4)");
            let expected = [format!("{key} NodePort *:30000"), format!("{key} ExternalIP 192.0.2.1:80")];
            assert_eq!(kept, expected, "{case}");

            let loser = if winner == "a" { "b" } else { "a" };
            let expected = [
                format!("Service default/{loser} spec.externalIPs"),
                format!("Service default/{loser} spec.ports[].nodePort"),
            ];
            assert_eq!(fixture::notices(&snapshot), expected, "{case}");
            assert!(snapshot.notices.iter().all(|notice| notice.message.contains(&key)), "{case}");
        }
    }

    #[test]
    fn protocols_and_node_ports_are_claims_of_their_own() {
        let services = vec![
            service("a", None, &spec("10.0.0.1", "TCP", 80)),
            service("b", None, &spec("10.0.0.2", "UDP", 80)),
        ];
        let snapshot = fixture::snapshot(services, vec![]);
        assert_eq!(snapshot.frontends(), 6);
        assert!(snapshot.notices.is_empty());
    }

    #[test]
    fn one_address_of_one_port_is_one_frontend() {
        let service: Service = fixture::from_json(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.1", "192.0.2.1"], "ports": [{ "port": 80 }],
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
        }));
        let snapshot = fixture::snapshot(vec![service], vec![]);
        let expected = [
            "default/web/TCP (IPv4) ClusterIP 10.0.0.1:80",
            "default/web/TCP (IPv4) LoadBalancer 192.0.2.1:80",
        ];
        // As the load balancer's, so that source ranges bind there.
        assert_eq!(fixture::frontends(&snapshot), expected);
        assert_eq!(fixture::notices(&snapshot), ["Service default/web spec.externalIPs"]);
    }

    #[test]
    fn an_allocated_address_is_not_taken_by_who_writes_it_into_an_older_service() {
        let taker = service(
            "a",
            Some("2020-01-01T00:00:00Z"),
            &json!({
                "clusterIP": "10.0.0.9", "externalIPs": ["10.0.0.1", "192.0.2.1"], "ports": [{ "port": 80 }],
            }),
        );
        let owner: Service = fixture::from_json(json!({
            "metadata": { "namespace": "default", "name": "b", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "clusterIP": "10.0.0.1", "ports": [{ "port": 80 }] },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
        }));
        let snapshot = fixture::snapshot(vec![taker, owner], vec![]);
        let expected = [
            "default/a/TCP (IPv4) ClusterIP 10.0.0.9:80",
            "default/b/TCP (IPv4) ClusterIP 10.0.0.1:80",
            "default/b/TCP (IPv4) LoadBalancer 192.0.2.1:80",
        ];
        assert_eq!(fixture::frontends(&snapshot), expected);
    }

    #[test]
    fn two_ports_of_one_service_can_contest_a_number() {
        let ports = json!([{ "name": "b", "port": 80 }, { "name": "a", "port": 80 }]);
        let service = service("web", None, &json!({ "clusterIP": "10.0.0.1", "ports": ports }));
        let snapshot = fixture::snapshot(vec![service], vec![]);
        assert_eq!(fixture::frontends(&snapshot), ["default/web:a/TCP (IPv4) ClusterIP 10.0.0.1:80"]);
        assert_eq!(snapshot.services.len(), 2);
        assert_eq!(snapshot.notices.len(), 1);
    }
}
