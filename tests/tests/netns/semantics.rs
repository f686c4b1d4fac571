//! Every row of `bpf-fixtures/semantics/paths.yaml`, played with real connections through the kernel.
//!
//! Each pair of policies and each pair of endpoint states is a Service of its own; all are there at once, and every
//! frontend of each is called from a pod, from the node and from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use svclb::model;
use svclb_tests::{
    netns::{
        Agent, Place, World,
        layout::{CLIENT, Family, Frontend, NODE1, NODE2, POD1, POD2, POD3, SERVICE_PORT, node_port},
    },
    probe::Answers,
    semantics::{
        layout::{Addresses, Layout},
        situation::Situation,
        theme::{Combination, Theme},
    },
};

use crate::support::world;

/// Enough to see both of two pods: one of them is missed once in four million times.
const ATTEMPTS: u32 = 22;

fn layout(service: u8) -> Layout {
    let of = |family: Family| {
        let vip = |kind: Frontend| kind.of(service, family).ip();
        Addresses {
            cluster_ip: vip(Frontend::ClusterIp),
            external_ip: vip(Frontend::ExternalIp),
            load_balancer: vip(Frontend::LoadBalancer),
            local_1: POD2.address(family),
            remote_1: POD3.address(family),
            pod: POD1.address(family),
            host: NODE1.address(family),
            secondary: NODE1.address(family),
            outside: CLIENT.address(family),
            elsewhere: CLIENT.address(family),
        }
    };
    Layout { here: NODE1.name.into(), there: NODE2.name.into(), v4: of(Family::V4), v6: of(Family::V6) }
}

/// The objects of a situation under names of the Service's own.
fn manifest(situation: &Situation<'_>, service: u8) -> anyhow::Result<String> {
    let mut text = String::new();
    for mut object in situation.objects()? {
        let set = |object: &mut Value, pointer: &str, value: Value| {
            if let Some(field) = object.pointer_mut(pointer) {
                *field = value;
            }
        };
        match object["kind"].as_str() {
            Some("Node") => continue,
            Some("Service") => {
                set(&mut object, "/metadata/name", json!(format!("web-{service}")));
                set(&mut object, "/spec/ports/0/nodePort", json!(node_port(service)));
                set(&mut object, "/spec/healthCheckNodePort", json!(0));
            }
            _ => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                set(&mut object, "/metadata/name", json!(format!("{name}-{service}")));
                set(
                    &mut object,
                    "/metadata/labels/kubernetes.io~1service-name",
                    json!(format!("web-{service}")),
                );
            }
        }
        text.extend(["---\n", &object.to_string(), "\n"]);
    }
    Ok(text)
}

/// What a row promises, as far as a client can see it.
#[derive(Debug)]
enum Promise {
    Pods(BTreeSet<String>),
    Refused,
    Silent,
}

fn promise(outcome: &str) -> anyhow::Result<Promise> {
    let mut words = outcome.split(' ');
    Ok(match words.next() {
        Some("refuse") => Promise::Refused,
        Some("drop") => Promise::Silent,
        Some("cluster" | "local") => Promise::Pods(
            words
                .map(|endpoint| match endpoint {
                    "local-1" => Ok(POD2.name.to_owned()),
                    "remote-1" => Ok(POD3.name.to_owned()),
                    other => bail!("no endpoint {other}"),
                })
                .collect::<Result<_, _>>()?,
        ),
        other => bail!("no outcome {other:?}"),
    })
}

impl Promise {
    fn attempts(&self) -> u32 {
        match self {
            Self::Pods(pods) if pods.len() > 1 => ATTEMPTS,
            Self::Pods(_) => 2,
            Self::Refused | Self::Silent => 1,
        }
    }

    fn is_kept(&self, answers: &Answers) -> bool {
        let refused = answers.errors.contains_key("ECONNREFUSED");
        match self {
            Self::Pods(pods) => answers.failed() == 0 && answers.pods.keys().eq(pods),
            Self::Refused => refused,
            Self::Silent => answers.answered() == 0 && !refused,
        }
    }
}

/// Calls that a place is to make, and what each promises.
type Calls = BTreeMap<SocketAddr, (String, Promise)>;

fn call(kind: &str, service: u8, family: Family) -> anyhow::Result<SocketAddr> {
    let frontend = match kind {
        "ClusterIP" => Frontend::ClusterIp,
        "NodePort" => Frontend::NodePort,
        "ExternalIP" => Frontend::ExternalIp,
        "LoadBalancer" => Frontend::LoadBalancer,
        other => bail!("no frontend {other}"),
    };
    Ok(frontend.of(service, family))
}

fn play(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    ensure!(SERVICE_PORT == svclb_tests::semantics::layout::PORT, "one port for both");
    let theme = Theme::read("paths")?;
    let mut services: BTreeMap<Vec<String>, u8> = BTreeMap::new();
    let mut files = String::new();
    let mut calls: BTreeMap<&str, Calls> = BTreeMap::new();
    for row in &theme.rows {
        for combination in theme.combinations(row)? {
            let of =
                |name: &str| Combination::get(&combination, name).cloned().context("a dimension is missing");
            let which = ["internal", "external", "local", "remote"].map(of);
            let which = which.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            let next = u8::try_from(services.len() + 1).context("too many Services for one world")?;
            let service = *services.entry(which).or_insert(next);
            if service == next {
                let layout = layout(service);
                let situation = Situation {
                    combination: &combination,
                    layout: &layout,
                    family: model::Family::V4,
                    protocol: "TCP",
                };
                files += &manifest(&situation, service)?;
            }
            let from = match of("from")?.as_str() {
                "local-pod" => "pod",
                "host" => "host",
                _ => "outside",
            };
            for family in Family::ALL {
                let to = call(&of("to")?, service, family)?;
                let told = format!("{from} {combination:?}: {}", row.outcome);
                calls.entry(from).or_default().insert(to, (told, promise(&row.outcome)?));
            }
        }
    }
    world.publish_text("rows.yaml", &files)?;
    // A router that sends cluster addresses to the node, as bare-metal sites have them.
    let [v4, v6]: [IpAddr; 2] = Family::ALL.map(|family| NODE1.address(family));
    world
        .ip(CLIENT.name, &format!("route add 10.96.0.0/16 via {v4}\nroute add fd00:10:96::/64 via {v6}\n"))?;
    let agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let mut broken = Vec::new();
    for (from, calls) in &calls {
        let place = match *from {
            "pod" => Place::Pod(POD1),
            "host" => Place::Host,
            _ => Place::Outside,
        };
        let targets = calls.iter().map(|(to, (_, promise))| (*to, promise.attempts())).collect();
        let outcomes = world.ask_all(place, &targets)?;
        for (to, (told, promise)) in calls {
            let answers = &outcomes[to];
            if !promise.is_kept(answers) {
                broken.push(format!("{to} from {told}: {answers:?}"));
            }
        }
    }
    let rows: usize = calls.values().map(BTreeMap::len).sum();
    ensure!(rows > 4000, "only {rows} calls");
    broken.truncate(20);
    ensure!(broken.is_empty(), "of {rows}:\n{}\n{}", broken.join("\n"), agent.log().text());
    Ok(())
}

#[test]
fn every_path_by_packets() -> anyhow::Result<()> {
    world(|world| play(world, "off"))
}

#[test]
fn every_path_by_sockets() -> anyhow::Result<()> {
    world(|world| play(world, "all"))
}
