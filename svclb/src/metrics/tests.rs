//! What is on the wire, and that it is documented.

use std::collections::BTreeMap;

use serde_json::json;
use svclb_common::{
    flow::FlowState,
    service::{FrontendKind, Load, Outcomes},
};

use super::*;
use crate::{
    condition::{self, Probed},
    datapath::pins::Pins,
    http::client::get,
    model::{NoLocal, PerFamily, Protocol, ServicePortKey},
    page::{Page, Pinned},
    usage::PortTraffic,
};

struct Fake(Result<Sample, String>);

impl Collect for Fake {
    fn collect(&self) -> Result<Sample, String> {
        self.0.clone()
    }
}

fn sample() -> Sample {
    let key = ServicePortKey {
        namespace: "shop".into(),
        name: "web".into(),
        port_name: "http".into(),
        protocol: Protocol::Tcp,
        family: Family::V6,
    };
    Sample {
        drops: vec![("no_backend", 3)],
        counts: vec![(Family::V4, Counts { services: 1, frontends: 2, backends: 3, flows: 4 })],
        maps: vec![MapFill { map: "FLOWS_V4".into(), entries: 8, capacity: 1024 }],
        synced: true,
        writes: 9,
        attached: BTreeMap::from([("tcx_ingress".to_owned(), 2)]),
        traffic: vec![(key.clone(), PortTraffic { flows: 5, packets: 6, bytes: 7 })],
        culprits: Culprits {
            backends: vec![BackendCounts {
                family: Family::V4,
                address: "10.244.1.7:8080".into(),
                protocol: "TCP",
                load: Load { flows: 1, packets: 2, bytes: 3 },
                outcomes: Outcomes { signs: [4, 0, 0, 0, 0, 0], ..Outcomes::default() },
            }],
            entrances: vec![(key.clone(), FrontendKind::NodePort, 8)],
            devices: vec![("eth0".into(), "no_backend", 3)],
            events: vec![(key, "no_backend", 9)],
        },
    }
}

/// Metrics in which everything has happened.
pub(super) fn full() -> Metrics {
    let metrics = Metrics::default();
    let probed = Probed {
        path: "eth0".into(),
        ip_family: "IPv4".into(),
        ok: true,
        micros: 50,
        at: "2026-01-01T00:00:00Z".into(),
        runs: 2,
        failures: 1,
    };
    condition::tell_probes(vec![probed]);
    metrics.set_collect(Fake(Ok(sample())));
    metrics.changes(2, 3);
    metrics.sync_started();
    metrics.changes(1, 1);
    metrics.queued(Family::V4);
    metrics.sync_finished(Family::V4, SyncKind::Full, Duration::from_millis(3));
    metrics.sync_finished(Family::V6, SyncKind::Partial, Duration::from_mins(1));
    metrics.applied(Family::V4);
    metrics.programmed(Family::V4, SystemTime::now());
    metrics.programmed(Family::V6, SystemTime::UNIX_EPOCH);
    metrics
        .set_no_local(NoLocal { internal: PerFamily { v4: 1, v6: 0 }, external: PerFamily { v4: 2, v6: 3 } });
    let mut flows = [0; FlowState::COUNT];
    flows[FlowState::FinWait as usize] = 9;
    let expired = [("flows", 2), ("sockets", 3), ("affinities", 4)];
    let (took, busy) = (Duration::from_secs(3), Duration::from_millis(30));
    metrics.walked(Family::V4, &Walk { flows, expired, halves: 1, took, busy });
    metrics.probed(Probe::Healthz, 503);
    metrics.probed(Probe::Livez, 200);
    metrics
}

/// Name and type of every metric in the text.
fn names(text: &str) -> BTreeMap<String, String> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    typed.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn the_text_is_what_kube_proxy_s_dashboards_ask_for() {
    let text = full().text();
    let expected = [
        "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.002\",ip_family=\"IPv4\"} 0",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.004\",ip_family=\"IPv4\"} 1",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"16.384\",ip_family=\"IPv6\"} 0",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"+Inf\",ip_family=\"IPv6\"} 1",
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 1",
        "kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family=\"IPv6\"} 60.0",
        "# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge",
        "# TYPE kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds gauge",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.5\",ip_family=\"IPv4\"} 1",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"1\",ip_family=\"IPv4\"} 1",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"115\",ip_family=\"IPv4\"} 1",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"300\",ip_family=\"IPv4\"} 1",
        "# TYPE kubeproxy_sync_proxy_rules_endpoint_changes_total counter",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 4",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 1",
        "kubeproxy_sync_proxy_rules_service_changes_total 3",
        "kubeproxy_sync_proxy_rules_service_changes_pending 1",
        "# TYPE kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"internal\"} 1",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"external\"} 2",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv6\",traffic_policy=\"external\"} 3",
        "# TYPE kubeproxy_proxy_healthz_total counter",
        "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
        "kubeproxy_proxy_livez_total{code=\"200\"} 1",
        "# TYPE svclb_drops_total counter",
        "svclb_drops_total{reason=\"no_backend\"} 3",
        "svclb_flows{ip_family=\"IPv4\"} 4",
        "svclb_map_entries{map=\"FLOWS_V4\"} 8",
        "svclb_map_capacity{map=\"FLOWS_V4\"} 1024",
        "svclb_service_bytes_total{namespace=\"shop\",service=\"web\",port=\"http\",protocol=\"TCP\",ip_family=\"IPv6\"} 7",
        "svclb_tables_readable 1",
        "svclb_synced 1",
        "svclb_table_writes_total 9",
        "svclb_attached_programs{hook=\"tcx_ingress\"} 2",
        "svclb_service_series_left_out 0",
        "svclb_service_flows_total{namespace=\"\",service=\"(others)\",port=\"\",protocol=\"\",ip_family=\"\"} 0",
        "# TYPE svclb_tracked_flows gauge",
        "svclb_tracked_flows{ip_family=\"IPv4\",protocol=\"TCP\",state=\"FIN_WAIT\"} 9",
        "svclb_tracked_flows{ip_family=\"IPv4\",protocol=\"SCTP\",state=\"ESTABLISHED\"} 0",
        "svclb_expired_entries_total{ip_family=\"IPv4\",table=\"sockets\"} 3",
        "svclb_halved_flows_total{ip_family=\"IPv4\"} 1",
        "svclb_walks_total{ip_family=\"IPv4\"} 1",
        "svclb_walk_duration_seconds{ip_family=\"IPv4\"} 3.0",
        "svclb_walk_cpu_seconds_total{ip_family=\"IPv4\"} 0.03",
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line}\n\n{text}");
    }
    let before_the_start = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv6\"}";
    assert!(!text.contains(before_the_start) && !text.contains("# EOF"), "{text}");
    let buckets =
        |name: &str| text.lines().filter(|line| line.starts_with(name) && line.contains("IPv4")).count();
    // With the one for the rest.
    assert_eq!(buckets("kubeproxy_sync_proxy_rules_duration_seconds_bucket"), 16);
    assert_eq!(buckets("kubeproxy_network_programming_duration_seconds_bucket"), 81);
}

#[test]
fn tables_that_cannot_be_read_leave_the_rest() {
    let metrics = Metrics::default();
    assert!(!metrics.text().contains("svclb_tables_readable"), "before there are any");
    metrics.set_collect(Fake(Err("gone".into())));
    let text = metrics.text();
    assert!(text.contains("svclb_tables_readable 0\n") && text.contains("kubeproxy_"), "{text}");
    assert!(!text.contains("svclb_flows"), "{text}");
}

/// Name, type, labels and meaning of each metric, as the documentation has them.
fn documented() -> BTreeMap<String, [String; 3]> {
    let docs = include_str!("../../../docs/metrics.md");
    let rows =
        docs.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let row = |(name, rest): (&str, &str)| {
        let cells: Vec<_> = rest.splitn(3, '|').map(|cell| cell.trim().to_owned()).collect();
        (name.to_owned(), cells.try_into().unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn the_documentation_has_every_metric_and_no_other() {
    let types = documented().into_iter().map(|(name, [kind, ..])| (name, kind));
    assert_eq!(types.collect::<BTreeMap<_, _>>(), names(&full().text()));
}

#[test]
fn the_documentation_says_what_the_help_says() {
    let (text, documented) = (full().text(), documented());
    // Whatever follows says more.
    let plain = |text: &str| text.trim_end_matches('.').to_lowercase();
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        let [_, labels, meaning] = &documented[name];
        assert!(plain(meaning).starts_with(&plain(help)), "{name}: {help:?} and {meaning:?}");
        let is_of = |line: &&str| {
            let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches("_bucket"));
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let series = text.lines().find(is_of).unwrap();
        let told = series.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
        let told =
            told.split(',').filter_map(|label| Some(label.split_once('=')?.0)).filter(|label| *label != "le");
        let mut told: Vec<_> = told.map(|label| format!("`{label}`")).collect();
        let mut listed: Vec<_> =
            labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        told.sort();
        listed.sort();
        assert_eq!(told, listed, "{name}");
    }
}

#[tokio::test]
async fn on_the_wire() {
    let listener = http::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let pages = Pages::new(full(), &json!({ "nodeName": "n" }), Page::new(Pinned(Pins::new("/nowhere"))));
    tokio::spawn(serve(listener, pages, stop.clone()));
    let reply = get(address, "/metrics").await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    assert_eq!(names(&reply.body), names(&full().text()));
    let table = [("/healthz", 200, "ok"), ("/proxyMode", 200, "svclb"), ("/x", 404, "404 page not found\n")];
    for (path, status, body) in table {
        let reply = get(address, path).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{path}");
    }
    assert_eq!(get(address, "/configz").await.json(), json!({ "svclb.io": { "nodeName": "n" } }));
    stop.cancel();
}
