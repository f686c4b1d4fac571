//! Service ports for tests.

use super::{Backend, BackendTraffic, Frontend, PortTraffic, ServicePort};
use crate::model::{Family, Protocol, ServicePortKey};

/// `shop/s<number>` with two backends, which has carried so many packets.
pub(crate) fn port(number: u64, packets: u64) -> ServicePort {
    let name = format!("s{number}");
    let key = ServicePortKey {
        namespace: "shop".into(),
        name: name.as_str().into(),
        port_name: "http".into(),
        protocol: Protocol::Tcp,
        family: Family::V4,
    };
    let [_, a, b, c] = (number as u32).to_be_bytes();
    let backend = |place: u64| Backend {
        id: (number * 2 + place) as u32,
        address: [10, b, c, place as u8 + 1].into(),
        port: 8080,
        node: Some(format!("node{place}")),
        local: place == 0,
        state: "active",
        lists: vec!["cluster"],
        weight: 1,
        traffic: BackendTraffic { flows: packets / 10 * (1 + 2 * place) / 4, ..BackendTraffic::default() },
        flows_per_second: None,
    };
    ServicePort {
        key,
        namespace: "shop".into(),
        name,
        port_name: "http".into(),
        protocol: "TCP",
        ip_family: "IPv4",
        algorithm: "random",
        max_new_flows_per_second: 0,
        internal_traffic_policy: "Cluster",
        external_traffic_policy: "Cluster",
        session_affinity_seconds: 0,
        source_ranges: None,
        frontends: vec![Frontend { kind: "ClusterIP", address: [10, 96 + a, b, c].into(), port: 80 }],
        backends: vec![backend(0), backend(1)],
        traffic: PortTraffic { flows: packets / 10, packets, bytes: packets * 100 },
        per_second: None,
    }
}
