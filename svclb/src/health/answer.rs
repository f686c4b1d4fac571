//! `/healthz` and `/livez`.

use std::{collections::BTreeMap, time::SystemTime};

use hyper::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::{Moment, State};
use crate::{
    http::{self, Answer},
    metrics::{Metrics, Probe},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    status: BTreeMap<&'static str, FamilyBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyBody {
    last_updated: String,
    healthy: bool,
}

/// What is answered at a path. The kubelet asks `/livez`: an agent on a node that is on its way out is alive.
pub fn answer(path: &str, state: &State, metrics: &Metrics, now: Moment) -> Answer {
    let probe = match path {
        "/healthz" => Probe::Healthz,
        "/livez" => Probe::Livez,
        _ => return http::not_found(),
    };
    let health = state.health(now);
    let node_eligible = (probe == Probe::Healthz).then_some(health.is_eligible);
    let is_well = health.is_healthy && node_eligible != Some(false);
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    metrics.probed(probe, status.as_u16());

    // A healthy agent with nothing to do is up to date now.
    let latest = health.families.values().filter_map(|(_, updated)| *updated).max();
    let body = Body {
        last_updated: time(if health.is_healthy { Some(now.wall) } else { latest }),
        current_time: time(Some(now.wall)),
        node_eligible,
        healthy: health.is_healthy,
        status: health
            .families
            .into_iter()
            .map(|(family, (healthy, updated))| {
                (family.as_str(), FamilyBody { last_updated: time(updated), healthy })
            })
            .collect(),
    };
    // Text and numbers always have a JSON form.
    http::answer(status, http::JSON, serde_json::to_string(&body).unwrap_or_default())
}

/// RFC 3339; never is Go's zero time, which is what readers of kube-proxy's answers know.
fn time(at: Option<SystemTime>) -> String {
    let at = at.and_then(|at| Timestamp::try_from(at).ok());
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        health::{AbsentNode, serve},
        http::client::get,
        model::{Family, NodeState},
    };

    const PERIOD: Duration = Duration::from_secs(30);

    #[test]
    fn table() {
        let node = NodeState { exists: true, is_eligible: true, ..NodeState::default() };
        let leaving = NodeState { is_eligible: false, ..node.clone() };
        // The node, whether a change waits too long, path, status.
        let cases = [
            (&node, false, "/healthz", 200),
            (&node, false, "/livez", 200),
            (&node, true, "/healthz", 503),
            (&node, true, "/livez", 503),
            (&leaving, false, "/healthz", 503),
            (&leaving, false, "/livez", 200),
            (&leaving, true, "/livez", 503),
            (&node, false, "/", 404),
            (&node, false, "/healthz/", 404),
        ];
        let start = Moment::now();
        for (node, late, path, status) in cases {
            let state = State::new(PERIOD, AbsentNode::Ineligible);
            state.set_node(node);
            if late {
                state.queued(Family::V6, start);
            }
            let now = Moment { monotonic: start.monotonic + PERIOD * 2, ..start };
            let answer = answer(path, &state, &Metrics::default(), now);
            assert_eq!(answer.status().as_u16(), status, "{node:?} {late} {path}");
        }
    }

    #[test]
    fn the_body_says_which_family_is_late() {
        let second = |n| Moment {
            monotonic: Moment::now().monotonic + Duration::from_secs(n),
            wall: UNIX_EPOCH + Duration::from_secs(n),
        };
        let state = State::new(PERIOD, AbsentNode::Eligible);
        state.applied(Family::V4, second(5));
        state.queued(Family::V6, second(0));
        let body = |path, n| -> serde_json::Value {
            serde_json::from_str(answer(path, &state, &Metrics::default(), second(n)).body()).unwrap()
        };
        let status = |healthy| {
            json!({
                "IPv4": { "lastUpdated": "1970-01-01T00:00:05Z", "healthy": true },
                "IPv6": { "lastUpdated": "0001-01-01T00:00:00Z", "healthy": healthy },
            })
        };
        let expected = json!({
            "lastUpdated": "1970-01-01T00:00:10Z", "currentTime": "1970-01-01T00:00:10Z", "nodeEligible": true,
            "healthy": true, "status": status(true),
        });
        assert_eq!(body("/healthz", 10), expected);
        let expected = json!({
            "lastUpdated": "1970-01-01T00:00:05Z", "currentTime": "1970-01-01T00:02:00Z", "healthy": false,
            "status": status(false),
        });
        assert_eq!(body("/livez", 120), expected);
    }

    #[tokio::test]
    async fn on_the_wire() {
        let listener = http::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (state, metrics) = (State::new(PERIOD, AbsentNode::Ineligible), Metrics::default());
        tokio::spawn(serve(listener, state.clone(), metrics.clone(), stop.clone()));
        let reply = get(address, "/livez").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("Content-Type"), Some("application/json"));
        assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(reply.json().get("nodeEligible").is_none() && reply.json()["lastUpdated"].is_string());
        assert_eq!(get(address, "/healthz").await.status, 503, "nothing is known of the Node");
        state.set_node(&NodeState { exists: true, is_eligible: true, ..NodeState::default() });
        assert_eq!(get(address, "/healthz").await.status, 200);
        let text = metrics.text();
        for line in [
            "kubeproxy_proxy_healthz_total{code=\"200\"} 1\n",
            "kubeproxy_proxy_healthz_total{code=\"503\"} 1\n",
            "kubeproxy_proxy_livez_total{code=\"200\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
        stop.cancel();
    }
}
