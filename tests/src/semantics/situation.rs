//! One combination, as the API objects that bring it about.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use svclb::model::{Family, FrontendKind, SourceClass};

use super::{
    layout::{Addresses, Layout, NODE_PORT, PORT, TARGET_PORT},
    theme::Combination,
};

/// One combination of a theme, seen in one family. A dimension that the theme does not have has a usual value.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// A value for each dimension.
    pub combination: &'a Combination,
    /// Addresses and names.
    pub layout: &'a Layout,
    /// The family in which it is looked at.
    pub family: Family,
    /// The protocol of the Service: `TCP` or `UDP`.
    pub protocol: &'a str,
}

impl Situation<'_> {
    /// The value of a dimension.
    pub fn get(&self, dimension: &str) -> Option<&str> {
        self.combination.get(dimension).map(String::as_str)
    }

    fn or<'b>(&'b self, dimension: &str, usual: &'b str) -> &'b str {
        self.get(dimension).unwrap_or(usual)
    }

    fn addresses(&self) -> &Addresses {
        self.layout.of(self.family)
    }

    /// The frontend that is called.
    pub fn frontend(&self) -> anyhow::Result<FrontendKind> {
        Ok(match self.or("to", "ClusterIP") {
            "ClusterIP" => FrontendKind::ClusterIp,
            "NodePort" => FrontendKind::NodePort,
            "ExternalIP" => FrontendKind::ExternalIp,
            "LoadBalancer" => FrontendKind::LoadBalancer,
            other => bail!("no frontend {other}"),
        })
    }

    /// Who calls, and from which address. `vip` is the node with a VIP that it holds itself as its source.
    pub fn client(&self) -> anyhow::Result<(SourceClass, IpAddr)> {
        let addresses = self.addresses();
        Ok(match self.or("from", "local-pod") {
            "local-pod" => (SourceClass::LocalPod, addresses.pod),
            "host" => (SourceClass::Host, addresses.host),
            "vip" => (SourceClass::Host, addresses.load_balancer),
            "other" => (SourceClass::Other, addresses.outside),
            other => bail!("no client {other}"),
        })
    }

    /// The name of an endpoint by its address.
    pub fn name_of(&self, address: IpAddr) -> anyhow::Result<&'static str> {
        let addresses = self.addresses();
        [("local-1", addresses.local_1), ("remote-1", addresses.remote_1)]
            .into_iter()
            .find_map(|(name, known)| (known == address).then_some(name))
            .with_context(|| format!("nobody has the address {address}"))
    }

    /// Everything that there is, as the API writes it: a Node, the dual-stack Service `default/web` and its slices.
    pub fn objects(&self) -> anyhow::Result<Vec<Value>> {
        let mut objects = vec![self.node(), self.service()?];
        if self.get("because") != Some("no-slice") {
            objects.push(self.slice(Family::V4)?);
            objects.push(self.slice(Family::V6)?);
        }
        Ok(objects)
    }

    fn node(&self) -> Value {
        let zone = self.get("zone").filter(|zone| *zone != "none");
        let addresses: Vec<_> = [&self.layout.v4, &self.layout.v6]
            .into_iter()
            .flat_map(|of| [of.host, of.secondary])
            .map(|address| json!({ "type": "InternalIP", "address": address }))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": self.layout.here, "labels": zone.map(|zone| json!({ "topology.kubernetes.io/zone": zone })),
            },
            "status": { "addresses": addresses },
        })
    }

    fn service(&self) -> anyhow::Result<Value> {
        let (v4, v6) = (&self.layout.v4, &self.layout.v6);
        let entry = self.get("entry");
        let external_ips = match entry {
            None | Some("external-ip") => vec![v4.external_ip, v6.external_ip],
            Some(_) => vec![],
        };
        let ingress: Vec<_> = [v4, v6].into_iter().filter_map(|of| self.ingress(of.load_balancer)).collect();
        let affinity = self.or("affinity", "None");
        let node_port = if self.or("type", "LoadBalancer") == "ClusterIP" { 0 } else { NODE_PORT };
        Ok(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "type": self.or("type", "LoadBalancer"),
                "clusterIP": v4.cluster_ip, "clusterIPs": [v4.cluster_ip, v6.cluster_ip],
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
                "externalIPs": external_ips,
                "internalTrafficPolicy": self.or("internal", "Cluster"),
                "externalTrafficPolicy": self.or("external", "Cluster"),
                "healthCheckNodePort": NODE_PORT + 1,
                "sessionAffinity": affinity,
                "sessionAffinityConfig":
                    (affinity == "ClientIP").then(|| json!({ "clientIP": { "timeoutSeconds": 10 } })),
                "loadBalancerSourceRanges": self.ranges()?,
                "ports": [{ "name": "web", "port": PORT, "protocol": self.protocol, "nodePort": node_port }],
            },
            "status": { "loadBalancer": { "ingress": ingress } },
        }))
    }

    fn ingress(&self, address: IpAddr) -> Option<Value> {
        match self.get("entry") {
            None | Some("ingress") => Some(json!({ "ip": address })),
            Some("ingress-vip") => Some(json!({ "ip": address, "ipMode": "VIP" })),
            Some("ingress-proxy") => Some(json!({ "ip": address, "ipMode": "Proxy" })),
            Some("ingress-hostname") => Some(json!({ "hostname": "lb.example.com" })),
            Some(_) => None,
        }
    }

    /// `ranges` is words joined by `+`.
    fn ranges(&self) -> anyhow::Result<Vec<String>> {
        let addresses = self.addresses();
        let (whole, everything, of_others, others) = match self.family {
            Family::V4 => (32, "0.0.0.0/0", "2001:db8::/32", "::/0"),
            Family::V6 => (128, "::/0", "198.51.100.0/24", "0.0.0.0/0"),
        };
        let words = self.or("ranges", "none").split('+').filter(|word| *word != "none");
        words
            .map(|word| {
                Ok(match word {
                    "pod" => format!("{}/{whole}", addresses.pod),
                    "node" => format!("{}/{whole}", addresses.host),
                    "outside" => format!("{}/{whole}", addresses.outside),
                    "elsewhere" => format!("{}/{whole}", addresses.elsewhere),
                    "everything" => everything.to_owned(),
                    "other-family" => of_others.to_owned(),
                    "other-everything" => others.to_owned(),
                    other => bail!("no range {other}"),
                })
            })
            .collect()
    }

    fn slice(&self, family: Family) -> anyhow::Result<Value> {
        let of = self.layout.of(family);
        let because = self.or("because", "");
        let owner = if because == "other-service" { "api" } else { "web" };
        let mut labels = json!({ "kubernetes.io/service-name": owner });
        if because == "headless" {
            labels["service.kubernetes.io/headless"] = json!("");
        }
        let is_listed =
            !matches!(because, "empty-slice") && (because != "other-family" || family != self.family);
        let endpoints: Vec<_> =
            [("local", of.local_1, &self.layout.here), ("remote", of.remote_1, &self.layout.there)]
                .into_iter()
                .filter(|_| is_listed)
                .filter_map(|(place, address, node)| self.endpoint(place, address, node).transpose())
                .collect::<anyhow::Result<_>>()?;
        let other_protocol = if self.protocol == "TCP" { "UDP" } else { "TCP" };
        let protocol = if because == "other-protocol" { other_protocol } else { self.protocol };
        let name = if because == "other-port" { "admin" } else { "web" };
        Ok(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "namespace": "default", "name": format!("web-{family}").to_lowercase(), "labels": labels },
            "addressType": family.as_str(),
            "ports": [{ "name": name, "port": TARGET_PORT, "protocol": protocol }],
            "endpoints": endpoints,
        }))
    }

    fn endpoint(&self, place: &str, address: IpAddr, node: &str) -> anyhow::Result<Option<Value>> {
        let Some(conditions) = self.conditions(place)? else { return Ok(None) };
        Ok(Some(json!({
            "addresses": [address], "nodeName": node, "conditions": conditions, "hints": self.hints(place)?,
        })))
    }

    /// The conditions of the endpoint at `place` (`local`, `remote`); `None` if there is no endpoint.
    fn conditions(&self, place: &str) -> anyhow::Result<Option<Value>> {
        let of = |ready, serving, terminating| {
            Some(json!({ "ready": ready, "serving": serving, "terminating": terminating }))
        };
        if let Some(only) = self.get("place") {
            let flag = |name| match self.or(name, "unset") {
                "true" => json!(true),
                "false" => json!(false),
                _ => Value::Null,
            };
            let stated = || json!({ "ready": flag("ready"), "serving": flag("serving"), "terminating": flag("terminating") });
            return Ok((only == place).then(stated));
        }
        let state = match self.get("remembered") {
            Some(name) if name.starts_with(place) => self.or("state", "ready"),
            _ => self.or(place, "ready"),
        };
        Ok(match state {
            "none" => None,
            "ready" => of(true, true, false),
            "ready-terminating" => of(true, true, true),
            "serving-terminating" => of(false, true, true),
            "serving" => of(false, true, false),
            "terminating" => of(false, false, true),
            "not-ready" => of(false, false, false),
            other => bail!("no state {other}"),
        })
    }

    /// The hints of the endpoint at `place`. A hint for a node comes with one for a zone, and for the other than one
    /// would expect, so that it shows which of them counts.
    fn hints(&self, place: &str) -> anyhow::Result<Value> {
        let (zones, nodes): (&[&str], &[&str]) = match self.or(&format!("{place}-hints"), "none") {
            "none" => return Ok(Value::Null),
            "a" => (&["a"], &[]),
            "b" => (&["b"], &[]),
            "a+b" => (&["a", "b"], &[]),
            "here+b" => (&["b"], &[&self.layout.here]),
            "there+a" => (&["a"], &[&self.layout.there]),
            other => bail!("no hints {other}"),
        };
        let names = |names: &[&str]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        Ok(json!({ "forZones": names(zones), "forNodes": names(nodes) }))
    }
}
