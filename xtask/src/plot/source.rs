//! From the JSON of a bench to charts.

use anyhow::{Context as _, bail};
use serde_json::Value as Json;

use super::{
    chart::{Bar, Bars, Line, Panel, Value},
    svg,
};

/// Pictures by the names of their files.
pub(super) type Pictures = Vec<(&'static str, String)>;

/// Proxies of the traffic bench, in the order of their colours: JSON and legend.
const PROXIES: [(&str, &str); 4] = [
    ("sockets", "svclb, at sockets"),
    ("packets", "svclb, per packet"),
    ("nftables", "kube-proxy, nftables"),
    ("iptables", "kube-proxy, iptables"),
];

/// What belongs to the JSON of any bench.
pub(super) fn pictures(json: &Json) -> anyhow::Result<Pictures> {
    if json.is_array() {
        return control_plane(json);
    }
    if json.get("sizes").is_some() {
        return traffic(json);
    }
    if json.get("rows").is_some() {
        return hotpath(json);
    }
    bail!("the JSON of none of the benches")
}

/// The ratios that there is a goal for.
fn hotpath(json: &Json) -> anyhow::Result<Pictures> {
    const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
    let bar = |row: &Json| {
        let family = row["family"].as_str()?;
        let series = FAMILIES.iter().position(|name| name[2..].eq_ignore_ascii_case(family))?;
        let label = format!("{}, {}", row["path"].as_str()?, FAMILIES[series]);
        let goal = row["goal"].as_f64()?;
        Some(Bar { label, series, value: value(&row["ratio"])?, goal: Some(goal) })
    };
    let rows: Vec<Bar> = list(&json["rows"]).iter().filter_map(bar).collect();
    let chart = Bars {
        title: "Time of a packet, to the floor (red: goal)".into(),
        unit: "× floor".into(),
        series: FAMILIES.map(String::from).into(),
        rows,
    };
    Ok(vec![("hotpath.svg", svg::bars(&chart)?)])
}

/// Connect latency and rate of short connections to the bare path, over the number of Services.
fn traffic(json: &Json) -> anyhow::Result<Pictures> {
    const PATHS: [(&str, &str); 4] = [
        ("pod-cluster-ip", "pod to ClusterIP"),
        ("host-cluster-ip", "host to ClusterIP"),
        ("outside-node-port", "outside to NodePort"),
        ("pod-direct", "pod to pod"),
    ];
    let works = [
        ("traffic-connect.svg", "connect", "Connect latency, p50, to a node without proxy (less is better)"),
        (
            "traffic-short.svg",
            "short",
            "Short connections per second, to a node without proxy (more is better)",
        ),
    ];
    let sizes: Vec<String> = list(&json["sizes"]).iter().map(|size| size["services"].to_string()).collect();
    let picture = |(file, work, title): (&'static str, &str, &str)| {
        let panel = |(path, name): (&str, &str)| Panel {
            title: name.to_owned(),
            unit: "× bare; over Services".into(),
            is_log: true,
            sizes: sizes.clone(),
            lines: PROXIES
                .map(|(proxy, name)| line(json, (path, work, proxy), name))
                .into_iter()
                .flatten()
                .collect(),
        };
        Ok((file, svg::panels(title, &PATHS.map(panel))?))
    };
    works.into_iter().map(picture).collect()
}

/// A proxy's ratios to the bare path, if it was measured.
fn line(json: &Json, (path, work, proxy): (&str, &str, &str), name: &str) -> Option<Line> {
    let point = |size: &Json| {
        let is_it = |row: &&Json| row["path"] == path && row["work"] == work && row["proxy"] == proxy;
        let rows = list(&size["rows"]);
        let row = rows.iter().find(is_it)?;
        value(&list(&row["ratios"]).iter().find(|ratio| ratio["to"] == "bare")?["ratio"])
    };
    let points: Vec<_> = list(&json["sizes"]).iter().map(point).collect();
    points.iter().any(Option::is_some).then(|| Line { name: name.into(), points })
}

/// One changed slice, and a cold start, over the clusters.
fn control_plane(json: &Json) -> anyhow::Result<Pictures> {
    let clusters = list(json);
    let sizes: Option<Vec<String>> =
        clusters.iter().map(|one| Some(one["shape"].as_str()?.to_owned())).collect();
    let sizes = sizes.context("the JSON of control-plane: a cluster without a name")?;
    let own = |name: &str, pointer: &str| Line {
        name: name.to_owned(),
        points: clusters.iter().map(|one| plain(one.pointer(pointer)?)).collect(),
    };
    let seen = |(proxy, name): (&str, &str), pointer: &str| {
        let point = |one: &Json| {
            plain(list(&one["seen"]).iter().find(|seen| seen["proxy"] == proxy)?.pointer(pointer)?)
        };
        let points: Vec<_> = clusters.iter().map(point).collect();
        points.iter().any(Option::is_some).then(|| Line { name: name.into(), points })
    };
    let panel = |title: &str, own: Line, pointer: &str| {
        let others = [
            ("packets", "svclb, first answer"),
            ("nftables", "kube-proxy, nftables, first answer"),
            ("iptables", "kube-proxy, iptables, first answer"),
        ];
        let others = others.into_iter().filter_map(|other| seen(other, pointer));
        let lines = [own].into_iter().chain(others).collect();
        Panel { title: title.into(), unit: "ms".into(), is_log: true, sizes: sizes.clone(), lines }
    };
    let panels = [
        panel("one changed slice, p50", own("svclb, last write", "/churn/p50"), "/change/p50"),
        panel("cold start", own("svclb, last write", "/cold/synced"), "/started"),
    ];
    Ok(vec![("control-plane.svg", svg::panels("What following a cluster takes", &panels)?)])
}

/// Median and quartiles.
fn value(json: &Json) -> Option<Value> {
    let field = |name: &str| json[name].as_f64();
    Some(Value { middle: field("median")?, lower: field("lower")?, upper: field("upper")? })
}

/// A number without quartiles.
fn plain(json: &Json) -> Option<Value> {
    let middle = json.as_f64()?;
    Some(Value { middle, lower: middle, upper: middle })
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spread(median: f64) -> Json {
        json!({ "median": median, "lower": median, "upper": median })
    }

    #[test]
    fn each_bench_has_its_pictures() {
        let hotpath = json!({ "rows": [
            { "path": "a path", "family": "v4", "ratio": spread(0.8), "goal": 1.0 },
            { "path": "no goal", "family": "v6", "ratio": spread(2.0), "goal": null },
        ] });
        let row = json!({ "path": "pod-cluster-ip", "work": "connect", "proxy": "packets",
            "ratios": [{ "to": "bare", "ratio": spread(1.1) }] });
        let traffic = json!({ "bench": "traffic", "sizes": [{ "services": 10, "rows": [row] }] });
        let control_plane = json!([{ "shape": "10k", "churn": { "p50": 0.8 }, "cold": { "synced": 9000.0 },
            "seen": [{ "proxy": "nftables", "started": 24_000.0, "change": { "p50": 7800.0 } }] }]);
        let table = [
            (hotpath, "a path, IPv4", vec!["hotpath.svg"], 1),
            (traffic, "svclb, per packet", vec!["traffic-connect.svg", "traffic-short.svg"], 1),
            (control_plane, "kube-proxy, nftables", vec!["control-plane.svg"], 4),
        ];
        for (json, text, files, marks) in table {
            let pictures = pictures(&json).unwrap();
            assert_eq!(pictures.iter().map(|(file, _)| *file).collect::<Vec<_>>(), files);
            let svg = &pictures[0].1;
            assert!(svg.contains(text) && !svg.contains("no goal"), "{svg}");
            let points = svg.matches("<circle").count() + svg.matches("stroke=\"#e5534b\"").count();
            assert_eq!(points, marks, "{svg}");
        }
        assert!(pictures(&json!({ "something": 1 })).is_err());
    }
}
