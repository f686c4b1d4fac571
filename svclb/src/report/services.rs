//! `svclb services`: the Services that the tables hold.

use std::{num::NonZeroU32, process::ExitCode};

use serde::Serialize;
use svclb_common::service::{FrontendKind, List};

use super::{Output, table};
use crate::{
    datapath::{pins::Pins, readback, tables::Tables},
    model::{Family, TrafficPolicy, self_probe::is_own},
    plan::{Applied, Limits, Member, Readback, model_policy},
    sys::mapped::Access,
};

/// A service port, of one family.
#[derive(Debug, Serialize)]
struct ServicePort {
    namespace: String,
    name: String,
    port_name: String,
    protocol: &'static str,
    algorithm: &'static str,
    /// New flows that it takes in a second; 0 is any number.
    max_new_flows_per_second: u32,
    internal_traffic_policy: &'static str,
    external_traffic_policy: &'static str,
    /// 0 is no affinity.
    session_affinity_seconds: u32,
    /// Who may use the load balancer addresses; none is everybody.
    source_ranges: Option<Vec<String>>,
    frontends: Vec<Frontend>,
    backends: Vec<Backend>,
}

#[derive(Debug, Serialize)]
struct Frontend {
    #[serde(rename = "type")]
    kind: &'static str,
    address: String,
    port: u16,
}

#[derive(Debug, Serialize)]
struct Backend {
    address: String,
    port: u16,
    node: Option<String>,
    local: bool,
    state: &'static str,
    /// Where new connections select it from. A backend in no list keeps the flows that it has.
    lists: Vec<&'static str>,
    /// Its share in relation to the others; 1 unless the Service says so.
    weight: u8,
}

/// Prints the list.
pub fn services(pins: &Pins, output: Output) -> anyhow::Result<ExitCode> {
    pins.require()?;
    let tables = Tables::open(pins, Access::Read)?;
    let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
    let list = list(&applied);
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&list)?),
        Output::Table => print_table(&list),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(applied: &Applied) -> Vec<ServicePort> {
    let ports = applied.services().filter(|(key, _)| !is_own(key)).map(|(key, id)| {
        let tables = applied.tables(key.family);
        let unspecified = match key.family {
            Family::V4 => "0.0.0.0",
            Family::V6 => "::",
        };
        let frontends = tables.frontends_of(id).into_iter().flatten().map(|(frontend, kind)| Frontend {
            kind: kind_name(*kind),
            address: frontend.address.map_or_else(|| unspecified.to_owned(), |address| address.to_string()),
            port: frontend.port,
        });
        let backends =
            tables.backends_of(id).into_iter().filter_map(|(backend, Member { lists, weight })| {
                let backend = tables.backend(backend)?;
                Some(Backend {
                    address: backend.key.address.to_string(),
                    port: backend.key.port,
                    node: applied.node(backend.flags.node).map(str::to_owned),
                    local: backend.flags.local,
                    state: if backend.flags.terminating { "terminating" } else { "active" },
                    lists: lists.into_iter().filter_map(list_name).collect(),
                    weight,
                })
            });
        let mut backends: Vec<_> = backends.collect();
        backends.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        let word = tables.service(id).map(|entry| entry.cell.policy).unwrap_or_default();
        let policy = model_policy(word, tables.source_ranges(id).cloned().unwrap_or_default());
        ServicePort {
            namespace: key.namespace.as_ref().into(),
            name: key.name.as_ref().into(),
            port_name: key.port_name.as_ref().into(),
            protocol: key.protocol.as_str(),
            algorithm: policy.algorithm.as_str(),
            max_new_flows_per_second: policy.rate.get(),
            internal_traffic_policy: policy_name(policy.internal),
            external_traffic_policy: policy_name(policy.external),
            session_affinity_seconds: policy.affinity.map_or(0, NonZeroU32::get),
            source_ranges: policy
                .sources
                .map(|sources| sources.ranges.iter().map(ToString::to_string).collect()),
            frontends: frontends.collect(),
            backends,
        }
    });
    ports.collect()
}

fn list_name(list: List) -> Option<&'static str> {
    match list {
        List::Cluster => Some("cluster"),
        List::Local => Some("local"),
        List::Idle => None,
    }
}

fn policy_name(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

fn kind_name(kind: FrontendKind) -> &'static str {
    match kind {
        FrontendKind::ClusterIp => "ClusterIP",
        FrontendKind::NodePort => "NodePort",
        FrontendKind::ExternalIp => "ExternalIP",
        FrontendKind::LoadBalancer => "LoadBalancer",
    }
}

fn print_table(list: &[ServicePort]) {
    let row = |port: &ServicePort| {
        let name = if port.port_name.is_empty() {
            port.name.clone()
        } else {
            format!("{}:{}", port.name, port.port_name)
        };
        let endpoint = |address: &str, port: u16| {
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
        };
        let frontends: Vec<_> =
            port.frontends.iter().map(|f| format!("{} {}", f.kind, endpoint(&f.address, f.port))).collect();
        let listed = port.backends.iter().filter(|backend| !backend.lists.is_empty());
        let weight = |weight| if weight == 1 { String::new() } else { format!("={weight}") };
        let backends: Vec<_> = listed.map(|b| endpoint(&b.address, b.port) + &weight(b.weight)).collect();
        let backends = if backends.is_empty() { "none".to_owned() } else { backends.join(", ") };
        let name = format!("{}/{name}", port.namespace);
        vec![name, port.protocol.to_owned(), port.algorithm.to_owned(), frontends.join(", "), backends]
    };
    table::print(
        &["SERVICE", "PROTOCOL", "ALGORITHM", "FRONTENDS", "BACKENDS"],
        &list.iter().map(row).collect::<Vec<_>>(),
    );
}
