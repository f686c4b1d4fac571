//! What is answered at each path.

use hyper::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::Serialize;

use super::{
    HTML,
    live::{Live, Look},
    query::Query,
};
use crate::{
    http::{self, Answer, JSON, PLAIN},
    usage::{Backend, Drop, Rate, ServicePort, Snapshot, rank},
};

/// Only the page's own style and script, and questions to where it comes from. The hashes are of what stands between the
/// tags.
const POLICY: &str = "default-src 'none'; style-src 'sha256-BpvLK15Dw0wLXAkec4+/a4+JmgFAoCFGzow3sH+jL6s='; script-src 'sha256-LWIxT2JjcKQoy8LlOfBSA4AxtGdsI7JxjKW9TcjMzNk='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its JSON.
#[derive(Clone, Debug)]
pub struct Page(Live);

/// `/v1/services`.
#[derive(Serialize)]
struct Services<'a> {
    interval_seconds: Option<f64>,
    synced: bool,
    agent: Option<u32>,
    /// All service ports.
    total: usize,
    /// Those that the filter lets through.
    matching: usize,
    /// Of all of them together; only where there are two readings.
    per_second: Option<Rate>,
    drops: &'a [Drop],
    #[serde(rename = "services")]
    told: Vec<Told>,
}

/// A service port with some of its backends.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    port: ServicePort,
    backend_count: usize,
}

impl Page {
    /// A page that shows what is seen there.
    pub fn new(look: impl Look) -> Self {
        Self(Live::new(look))
    }

    /// The answer at a path, if there is one.
    pub(crate) async fn answer(&self, path: &str, query: &str) -> Answer {
        let Self(live) = self;
        let told = match path {
            "/" => return page(),
            "/v1/status" => live.status().await,
            "/v1/services" => {
                let query = match Query::new(query) {
                    Ok(query) => query,
                    Err(line) => return http::answer(StatusCode::BAD_REQUEST, PLAIN, line + "\n"),
                };
                live.services(move |snapshot| json(snapshot, &query)).await
            }
            _ => return http::not_found(),
        };
        let failed = |line: String| http::answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, line + "\n");
        match told {
            Ok(Ok(text)) => private(http::answer(StatusCode::OK, JSON, text)),
            Ok(Err(line)) => failed(line),
            Err(error) => failed(error.to_string()),
        }
    }
}

fn page() -> Answer {
    let mut answer = http::answer(StatusCode::OK, "text/html; charset=utf-8", HTML.to_owned());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    private(answer)
}

/// For nobody's cache, and for no page of somebody else.
fn private(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    answer
}

fn json(snapshot: &Snapshot, query: &Query) -> String {
    let found = rank(&snapshot.services, &query.filter, query.order);
    let told = found.iter().skip(query.offset).take(query.limit);
    let services = Services {
        interval_seconds: snapshot.interval_seconds,
        synced: snapshot.synced,
        agent: snapshot.agent,
        total: snapshot.services.len(),
        matching: found.len(),
        per_second: snapshot.interval_seconds.map(|_| snapshot.total()),
        drops: &snapshot.drops,
        told: told.map(|&at| tell(&snapshot.services[at], query.backends)).collect(),
    };
    // Names are texts and numbers are finite, so it does not fail.
    serde_json::to_string(&services).unwrap_or_default()
}

/// With those backends that get most.
fn tell(port: &ServicePort, backends: usize) -> Told {
    let mut port = port.clone();
    let backend_count = port.backends.len();
    if backend_count > backends {
        let rate = |backend: &Backend| backend.flows_per_second.unwrap_or_default();
        port.backends
            .sort_by(|a, b| rate(b).total_cmp(&rate(a)).then_with(|| b.traffic.flows.cmp(&a.traffic.flows)));
        port.backends.truncate(backends);
    }
    Told { port, backend_count }
}

#[cfg(test)]
mod tests;
