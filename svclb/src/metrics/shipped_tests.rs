//! What is shipped for Grafana and Prometheus asks for nothing that is not told, and every alert has its page.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    parser::{self, Expr, LabelModifier, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;

use super::tests::full;

const DASHBOARD: &str = include_str!("../../../deploy/grafana/svclb.json");
const RULES: &str = include_str!("../../../deploy/prometheus/svclb-rules.yaml");
const ALERTS: &str = include_str!("../../../docs/alerts.md");

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// The labels of every series that a scrape has, by name.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for line in full().text().lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once(['{', ' ']).unwrap();
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        found.entry(name.to_owned()).or_default().extend(names);
    }
    found
}

/// What an expression asks for: metrics with the labels that it matches, and labels that it groups by.
#[derive(Default)]
struct Asked {
    metrics: Vec<(String, Vec<String>)>,
    groups: Vec<String>,
}

impl Asked {
    fn of(text: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        let expression = parser::parse(text).map_err(|error| format!("{text}: {error}"))?;
        walk_expr(&mut asked, &expression).map_err(|error| format!("{text}: {error}"))?;
        Ok(asked)
    }

    fn selector(&mut self, selector: &VectorSelector) -> Result<(), String> {
        let labels = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone());
        let name = selector.name.clone().ok_or("a selector without a name")?;
        self.metrics.push((name, labels.collect()));
        Ok(())
    }

    fn group(&mut self, modifier: Option<&LabelModifier>) {
        self.groups.extend(modifier.into_iter().flat_map(|modifier| modifier.labels().labels.clone()));
    }

    /// One line for everything that no scrape has.
    fn missing(&self, series: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let mut missing = Vec::new();
        let mut known: BTreeSet<&str> = ADDED.into();
        for (metric, labels) in &self.metrics {
            let Some(has) = series.get(metric) else {
                missing.push(format!("no metric {metric}"));
                continue;
            };
            known.extend(has.iter().map(String::as_str));
            let unknown =
                labels.iter().filter(|label| !has.contains(*label) && !ADDED.contains(&label.as_str()));
            missing.extend(unknown.map(|label| format!("{metric} has no label {label}")));
        }
        let unknown = self.groups.iter().filter(|label| !known.contains(label.as_str()));
        missing.extend(unknown.map(|label| format!("no metric of the expression has a label {label}")));
        missing
    }
}

impl ExprVisitor for Asked {
    type Error = String;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
        match expression {
            Expr::VectorSelector(selector) => self.selector(selector)?,
            Expr::MatrixSelector(selector) => self.selector(&selector.vs)?,
            Expr::Aggregate(aggregate) => self.group(aggregate.modifier.as_ref()),
            Expr::Binary(binary) => {
                self.group(binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()));
            }
            _ => {}
        }
        Ok(true)
    }
}

/// Every value of a field of this name, however deep.
fn fields<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(name));
            map.values().for_each(|value| fields(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| fields(value, name, found)),
        _ => {}
    }
}

/// The expressions of the dashboard, with values for its variables.
fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut found = Vec::new();
    fields(&dashboard, "expr", &mut found);
    let text = |value: &Value| value.as_str().unwrap().replace("$__rate_interval", "5m");
    found.into_iter().map(text).collect()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(RULES).unwrap();
    let groups = rules["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_expression_asks_for_what_is_told() {
    let series = series();
    let of_alerts = alerts().into_iter().map(|alert| alert["expr"].as_str().unwrap().to_owned());
    let expressions: Vec<_> = dashboard().into_iter().chain(of_alerts).collect();
    assert!(expressions.len() > 50);
    for text in &expressions {
        let missing = Asked::of(text).unwrap().missing(&series);
        assert!(missing.is_empty(), "{text}: {missing:#?}");
    }
    // Every metric of ours is looked at somewhere.
    let asked: BTreeSet<_> = expressions
        .iter()
        .flat_map(|text| Asked::of(text).unwrap().metrics)
        .map(|(name, _)| name.trim_end_matches("_bucket").to_owned())
        .collect();
    let unseen: Vec<_> = series
        .keys()
        .filter(|name| !["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)))
        .filter(|name| !asked.contains(*name))
        .collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}

#[test]
fn a_wrong_expression_is_found() {
    let series = series();
    let missing = |text: &str| Asked::of(text).map(|asked| asked.missing(&series).len());
    let table = [
        ("sum by (reason) (rate(svclb_drops_total{instance=\"a\"}[5m]))", Ok(0)),
        ("svclb_drop_total", Ok(1)),
        ("svclb_drops_total{cause=\"x\"}", Ok(1)),
        ("sum by (cause) (svclb_drops_total)", Ok(1)),
        ("svclb_flows / on (cause) svclb_flows", Ok(1)),
    ];
    for (text, expected) in table {
        assert_eq!(missing(text), expected, "{text}");
    }
    assert!(missing("sum by (").is_err());
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables: BTreeSet<_> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap().to_owned())
        .collect();
    let mut sources = Vec::new();
    fields(&dashboard, "datasource", &mut sources);
    assert!(sources.iter().all(|source| source["uid"] == "${datasource}"), "{sources:?}");
    let word = |text: &str| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    for text in dashboard_variables() {
        assert!(variables.contains(&word(&text)), "${text}");
    }
    let mut ids = Vec::new();
    fields(&dashboard["panels"], "id", &mut ids);
    let distinct: BTreeSet<_> = ids.iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(distinct.len(), ids.len());
}

/// What follows each dollar sign that is not Grafana's own.
fn dashboard_variables() -> Vec<String> {
    let parts = DASHBOARD.split('$').skip(1).map(|part| part.trim_start_matches('{').to_owned());
    parts.filter(|part| !part.starts_with("__")).collect()
}

#[test]
fn every_alert_says_what_it_is_about_and_has_a_page() {
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        for field in ["summary", "description"] {
            assert!(
                alert["annotations"][field].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {field}"
            );
        }
        assert!(
            ["critical", "warning", "info"].map(Value::from).contains(&alert["labels"]["severity"]),
            "{name}"
        );
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (page, anchor) = url.split_once('#').unwrap();
        assert!(page.ends_with("/docs/alerts.md"), "{url}");
        assert_eq!(anchor, name.to_lowercase());
        assert!(ALERTS.lines().any(|line| line == format!("## {name}")), "docs/alerts.md has no {name}");
        assert!(names.insert(name.to_owned()), "{name} twice");
    }
    let told = ALERTS.lines().filter_map(|line| line.strip_prefix("## "));
    assert_eq!(told.map(str::to_owned).collect::<BTreeSet<_>>(), names);
}
