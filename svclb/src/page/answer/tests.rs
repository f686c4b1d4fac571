//! The page and its JSON over a socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    http::client::{Reply, get},
    usage::{Reading, fixture},
};

/// So many Services, of which each look finds that more has been carried.
struct Fake {
    services: u64,
    looks: Arc<AtomicU64>,
}

impl Look for Fake {
    fn look(&self) -> Result<Reading, String> {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let ports = (0..self.services).map(|number| fixture::port(number, looks * number)).collect();
        let drops = vec![Drop { reason: "no_backend", count: looks, per_second: None }];
        Ok(Reading { at: Instant::now(), synced: true, agent: Some(7), ports, drops })
    }

    fn status(&self) -> Result<String, String> {
        Err("no pins".into())
    }
}

/// With looks that are good for so long.
fn serve(services: u64, fresh: Duration) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = http::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let looks = Arc::default();
    let page = Page(Live::with(Fake { services, looks: Arc::clone(&looks) }, fresh));
    let answer = move |path: String, query: String| {
        let page = page.clone();
        async move { page.answer(&path, &query).await }
    };
    tokio::spawn(http::serve_queries(listener, answer, CancellationToken::new()));
    (address, looks)
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_no_other() {
    let (address, _) = serve(1, Duration::ZERO);
    let Reply { status, head, body } = get(address, "/").await;
    assert_eq!((status, body.as_str()), (200, HTML));
    for tag in ["style", "script"] {
        let (_, rest) = HTML.split_once(&format!("<{tag}>")).unwrap();
        let (inside, rest) = rest.split_once(&format!("</{tag}>")).unwrap();
        assert!(!rest.contains(&format!("<{tag}")), "one {tag}, whose hash is known");
        let hash = BASE64_STANDARD.encode(Sha256::digest(inside));
        assert!(head.contains(&format!("{tag}-src 'sha256-{hash}'")), "{tag}-src 'sha256-{hash}'\n{head}");
    }
    assert!(head.contains("default-src 'none'") && !head.contains("unsafe"), "{head}");
    // No text of an object can be markup, and nothing comes from elsewhere.
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https:", "src="]
    {
        assert!(!HTML.contains(word), "{word}");
    }
}

#[tokio::test]
async fn services_are_told_with_rates_as_many_as_are_asked_for() {
    let (address, _) = serve(10_000, Duration::ZERO);
    let first = get(address, "/v1/services").await.json();
    assert_eq!((&first["total"], &first["interval_seconds"]), (&10_000.into(), &Value::Null));
    let second = get(address, "/v1/services?limit=3&backends=1").await.json();
    assert!(second["interval_seconds"].as_f64().unwrap() > 0.0, "{second}");
    let names: Vec<_> =
        second["services"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["s9999", "s9998", "s9997"]);
    let port = &second["services"][0];
    assert!(port["per_second"]["bytes"].as_f64().unwrap() > 0.0, "{port}");
    assert_eq!((port["backends"].as_array().unwrap().len(), &port["backend_count"]), (1, &2.into()));
    assert_eq!(port["frontends"][0]["type"], "ClusterIP");
    assert!(second["drops"][0]["per_second"].as_f64().unwrap() > 0.0, "{second}");

    let some = get(address, "/v1/services?filter=s12+tcp&sort=name&offset=1&limit=2").await.json();
    let names: Vec<_> =
        some["services"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!((names.join(" ").as_str(), &some["matching"]), ("s120 s1200", &111.into()));
    assert!(get(address, "/v1/services?limit=10000000").await.body.len() < 1 << 20);
}

#[tokio::test]
async fn what_cannot_be_told_is_a_line() {
    let (address, _) = serve(1, Duration::ZERO);
    let table = [
        ("/v1/status", 503, "no pins\n"),
        ("/v1/services?limit=x", 400, "limit \"x\" is no number\n"),
        ("/v1/", 404, "404 page not found\n"),
    ];
    for (path, status, body) in table {
        let reply = get(address, path).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{path}");
    }
}

#[tokio::test]
async fn a_crowd_costs_one_look() {
    let (address, looks) = serve(100, Duration::from_hours(1));
    let asked = (0..100).map(|number| async move {
        get(address, &format!("/v1/services?filter=s{number}&sort=name&limit=1")).await.json()
    });
    for (number, told) in futures::future::join_all(asked).await.into_iter().enumerate() {
        assert_eq!(told["services"][0]["name"], format!("s{number}"));
    }
    assert_eq!(looks.load(Ordering::Relaxed), 1);
}
