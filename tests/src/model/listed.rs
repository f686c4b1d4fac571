//! What `svclb services` says, in the words of its output.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::difference::Difference;
use crate::{
    netns::World,
    reference::{
        Expected,
        address::Family,
        claim::{Kind, PortKey},
        object::Protocol,
    },
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
struct Listed {
    namespace: String,
    name: String,
    port_name: String,
    protocol: Protocol,
    internal_traffic_policy: String,
    external_traffic_policy: String,
    session_affinity_seconds: u32,
    source_ranges: Option<Vec<String>>,
    frontends: Vec<ListedFrontend>,
    backends: Vec<ListedBackend>,
}

#[derive(Debug, Deserialize)]
struct ListedFrontend {
    r#type: String,
    address: IpAddr,
    port: u16,
}

#[derive(Debug, Deserialize)]
struct ListedBackend {
    address: IpAddr,
    port: u16,
    lists: Vec<String>,
}

/// One entry as text, without a family: Services are listed once for each, and not told apart.
type Line = (String, Vec<String>);

/// Where the list that the agent's command prints is not what is expected.
pub fn compare(world: &World, namespace: &str, expected: &Expected) -> anyhow::Result<Vec<Difference>> {
    let output = world.svclb(&["services", "-o", "json"])?;
    ensure!(output.status.success(), "svclb services: {}", String::from_utf8_lossy(&output.stderr));
    let listed: Vec<Listed> = serde_json::from_slice(&output.stdout).context("svclb services")?;
    let mut found: Vec<Line> =
        listed.iter().filter(|it| it.namespace == namespace).map(line_of_listed).collect();
    let mut wanted: Vec<Line> = expected.ports.keys().map(|key| line_of_expected(expected, key)).collect();
    found.sort();
    wanted.sort();
    let (found_at, wanted_at): (BTreeMap<_, _>, BTreeMap<_, _>) = (count(found), count(wanted));
    let mut differences = Vec::new();
    for (line, count) in &wanted_at {
        if found_at.get(line) != Some(count) {
            differences.push(Difference::new("svclb services", line, "nothing of the kind"));
        }
    }
    for line in found_at.keys().filter(|line| !wanted_at.contains_key(*line)) {
        differences.push(Difference::new("svclb services", "nothing of the kind", line));
    }
    Ok(differences)
}

fn count(lines: Vec<Line>) -> BTreeMap<Line, usize> {
    let mut all = BTreeMap::new();
    for line in lines {
        *all.entry(line).or_default() += 1;
    }
    all
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn line_of_listed(listed: &Listed) -> Line {
    let frontends = listed.frontends.iter().map(|it| format!("{} {} {}", it.r#type, it.address, it.port));
    let backends =
        listed.backends.iter().map(|it| format!("{} {} {}", it.address, it.port, it.lists.join(" ")));
    let policies = [&listed.internal_traffic_policy, &listed.external_traffic_policy];
    let ranges = listed.source_ranges.clone().map(sorted);
    let about = format!(
        "{}:{} {} {policies:?} {} {ranges:?}",
        listed.name,
        listed.port_name,
        listed.protocol.name(),
        listed.session_affinity_seconds
    );
    (about, sorted(frontends.chain(backends).collect()))
}

fn line_of_expected(expected: &Expected, key: &PortKey) -> Line {
    let port = &expected.ports[key];
    let anywhere = match key.family {
        Family::IPv4 => "0.0.0.0",
        Family::IPv6 => "::",
    };
    let frontends = expected.frontends.iter().filter(|(_, owner)| owner.port == *key);
    let frontends = frontends.map(|(frontend, owner)| {
        let kind = match owner.kind {
            Kind::ClusterIP => "ClusterIP",
            Kind::NodePort => "NodePort",
            Kind::LoadBalancer => "LoadBalancer",
            Kind::ExternalIP => "ExternalIP",
        };
        let address = frontend.address.map_or_else(|| anywhere.to_owned(), |address| address.to_string());
        format!("{kind} {address} {}", frontend.port)
    });
    let backends = port.serving.keys().map(|at| {
        let lists: Vec<_> = [(port.cluster.contains(at), "cluster"), (port.local.contains(at), "local")]
            .into_iter()
            .filter_map(|(is_in, name)| is_in.then_some(name))
            .collect();
        format!("{} {} {}", at.ip(), at.port(), lists.join(" "))
    });
    let policy = |is_local| if is_local { "Local" } else { "Cluster" }.to_owned();
    let policies = [policy(port.internal_local), policy(port.external_local)];
    let ranges = port.sources.as_ref().map(|it| sorted(it.ranges.iter().map(ToString::to_string).collect()));
    let about = format!(
        "{}:{} {} {policies:?} {} {ranges:?}",
        key.service,
        key.port,
        key.protocol.name(),
        port.affinity
    );
    (about, sorted(frontends.chain(backends).collect()))
}
