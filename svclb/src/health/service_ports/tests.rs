//! Ports of Services on loopback addresses.

use std::{net::TcpListener, time::Duration};

use tokio::net::TcpStream;

use super::*;
use crate::{
    health::AbsentNode,
    http::client::{self, Reply, get},
    model::Family,
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address that every host answers at.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: name.into() }
}

fn checks(entries: &[(&str, u16, usize)]) -> BTreeMap<ObjectKey, HealthCheck> {
    let check = |(name, port, count): &(&str, u16, usize)| {
        (key(name), HealthCheck { port: *port, v4: Some(*count), v6: None })
    };
    entries.iter().map(check).collect()
}

/// A state, with ports that depend on it.
fn ports() -> (State, ServicePorts) {
    let state = State::new(Duration::from_secs(30), AbsentNode::Ineligible);
    (state.clone(), ServicePorts::new(state))
}

/// Ports that are free at [`V4`] and [`OTHER`], held until they are told.
fn free<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((V4, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

async fn ask(ip: IpAddr, port: u16) -> Reply {
    get(SocketAddr::new(ip, port), "/any/path").await
}

async fn is_open(ip: IpAddr, port: u16) -> bool {
    TcpStream::connect((ip, port)).await.is_ok()
}

#[test]
fn the_answer_counts_endpoints_and_asks_the_agent() {
    let table = [(0, true, 503), (1, true, 200), (3, true, 200), (3, false, 503), (0, false, 503)];
    for (endpoints, healthy, status) in table {
        let answer = answer(&key("web"), endpoints, healthy);
        assert_eq!(answer.status().as_u16(), status, "{endpoints} {healthy}");
        let body: serde_json::Value = serde_json::from_str(answer.body()).unwrap();
        let expected = json!({
            "service": { "namespace": "shop", "name": "web" },
            "localEndpoints": endpoints, "serviceProxyHealthy": healthy,
        });
        assert_eq!(body, expected);
    }
}

/// A check, the addresses that accept node ports, and where it is to be asked for how many endpoints.
type Case = (HealthCheck, Option<&'static [&'static str]>, &'static [(&'static str, usize)]);

#[test]
fn each_family_has_a_place_of_its_own() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let both = HealthCheck { port: 30000, v4: Some(1), v6: Some(2) };
    let table: [Case; 6] = [
        (both, None, &[("0.0.0.0:30000", 1), ("[::]:30000", 2)]),
        (both, Some(&["10.0.0.1", "10.0.0.2"]), &[("10.0.0.1:30000", 1), ("10.0.0.2:30000", 1)]),
        (both, Some(&["10.0.0.1", "fd00::1"]), &[("10.0.0.1:30000", 1), ("[fd00::1]:30000", 2)]),
        (both, Some(&[]), &[]),
        (HealthCheck { v4: None, ..both }, Some(&["10.0.0.1", "fd00::1"]), &[("[fd00::1]:30000", 2)]),
        (HealthCheck { v4: None, v6: None, ..both }, None, &[]),
    ];
    for (check, addresses, expected) in table {
        let addresses: Option<Vec<_>> = addresses.map(|all| all.iter().map(|text| ip(text)).collect());
        let expected: Vec<_> = expected.iter().map(|(text, count)| (text.parse().unwrap(), *count)).collect();
        assert_eq!(places(&check, addresses.as_deref()), expected, "{check:?} {addresses:?}");
    }
}

#[tokio::test]
async fn on_the_wire() {
    let (state, mut ports) = ports();
    let [port] = free();
    assert!(ports.sync(&checks(&[("web", port, 2)]), Some(&[V4])).await.is_empty());
    let reply = ask(V4, port).await;
    assert_eq!((reply.status, reply.header("X-Load-Balancing-Endpoint-Weight")), (200, Some("2")));
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(reply.json()["localEndpoints"], 2);

    state.queued(
        Family::V6,
        Moment { monotonic: Moment::now().monotonic - Duration::from_mins(1), ..Moment::now() },
    );
    let reply = ask(V4, port).await;
    assert_eq!((reply.status, &reply.json()["serviceProxyHealthy"]), (503, &json!(false)));
}

#[tokio::test]
async fn ports_follow_their_services() {
    let (_state, mut ports) = ports();
    let [a, b, moved] = free();
    assert!(ports.sync(&checks(&[("a", a, 1), ("b", b, 0)]), Some(&[V4])).await.is_empty());
    assert_eq!((ask(V4, a).await.status, ask(V4, b).await.status), (200, 503));

    // The one stays as it is: a connection that has waited is still answered.
    let waiting = TcpStream::connect((V4, a)).await.unwrap();
    assert!(ports.sync(&checks(&[("a", a, 0), ("b", moved, 3)]), Some(&[V4])).await.is_empty());
    assert_eq!(client::ask(waiting, "GET / HTTP/1.0\r\n\r\n").await.header(WEIGHT), Some("0"));
    assert_eq!(ask(V4, moved).await.header(WEIGHT), Some("3"));
    assert!(!is_open(V4, b).await);

    assert!(ports.sync(&checks(&[("a", a, 1)]), Some(&[V4, OTHER])).await.is_empty());
    assert!(is_open(V4, a).await && is_open(OTHER, a).await);
    assert!(!is_open(V4, moved).await);
    assert!(ports.sync(&BTreeMap::new(), Some(&[V4])).await.is_empty());
    assert!(!is_open(V4, a).await);
    assert!(!is_open(OTHER, a).await);
}

#[tokio::test]
async fn a_port_in_use_is_told_and_tried_again() {
    let (_state, mut ports) = ports();
    let taken = TcpListener::bind((V4, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let [free] = free();
    let checks = checks(&[("a", port, 1), ("b", free, 1)]);
    for _ in 0..2 {
        let failures = ports.sync(&checks, Some(&[V4])).await;
        let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("Service shop/a: cannot listen at {V4}:{port} ")), "{lines:?}");
    }
    assert_eq!(ask(V4, free).await.status, 200, "others have theirs");
    drop(taken);
    assert!(ports.sync(&checks, Some(&[V4])).await.is_empty());
    assert_eq!(ask(V4, port).await.status, 200);
}

#[tokio::test]
async fn two_services_may_exchange_their_ports() {
    let (_state, mut ports) = ports();
    let [a, b] = free();
    assert!(ports.sync(&checks(&[("a", a, 1), ("b", b, 2)]), Some(&[V4])).await.is_empty());
    assert!(ports.sync(&checks(&[("a", b, 1), ("b", a, 2)]), Some(&[V4])).await.is_empty());
    assert_eq!(ask(V4, b).await.header(WEIGHT), Some("1"));
    assert_eq!(ask(V4, a).await.header(WEIGHT), Some("2"));
}
