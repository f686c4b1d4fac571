//! The status on one screen: 24 lines of 80 columns.

use std::{cmp::Reverse, collections::BTreeMap};

use super::Status;
use crate::{
    condition::{Probed, Problem, Severity},
    datapath::flows::Fill,
};

const LINES: usize = 24;
const COLUMNS: usize = 80;
/// Where values begin.
const INDENT: usize = 13;

/// Reasons of drops that are named: those of most.
const DROPS: usize = 4;

/// Prints it.
pub(super) fn print(status: &Status) {
    for line in lines(status) {
        println!("{line}");
    }
}

fn lines(status: &Status) -> Vec<String> {
    let facts = facts(status);
    // The verdict, an empty line behind the problems, and one that says how many more there are.
    let room = LINES.saturating_sub(facts.len() + 3);
    let mut lines = vec![verdict(status)];
    let mut shown = 0;
    for problem in &status.problems {
        let text = problem_lines(problem);
        if lines.len() - 1 + text.len() > room {
            break;
        }
        lines.extend(text);
        shown += 1;
    }
    let left = status.problems.len() - shown;
    if left > 0 {
        lines.push(format!("and {left} more: svclb status -o json"));
    }
    lines.push(String::new());
    lines.extend(facts);
    lines
}

fn verdict(status: &Status) -> String {
    let count = |severity| status.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let said = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let verdict = if status.healthy { "HEALTHY" } else { "NOT HEALTHY" };
    match (errors, warnings) {
        (0, 0) => verdict.to_owned(),
        (0, _) => format!("{verdict}, {}", said(warnings, "warning")),
        (_, 0) => format!("{verdict}: {}", said(errors, "error")),
        _ => format!("{verdict}: {}, {}", said(errors, "error"), said(warnings, "warning")),
    }
}

fn problem_lines(problem: &Problem) -> Vec<String> {
    let word = match problem.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let since = problem.since.as_ref().map(|since| format!(", since {since}")).unwrap_or_default();
    let mut lines = wrapped(&format!("{word} {}{since}", problem.place), 0, 2);
    lines.extend(wrapped(&problem.what, 2, 2));
    lines.extend(wrapped(&format!("-> {}", problem.advice), 2, 5));
    lines
}

fn facts(status: &Status) -> Vec<String> {
    let agent = match (status.agent, status.synced) {
        (None, _) => "not running".to_owned(),
        (Some(pid), true) => format!("process {pid}, in sync"),
        (Some(pid), false) => format!("process {pid}, not in sync"),
    };
    let Status { services, frontends, backends, flows, .. } = status;
    let fill =
        |Fill { map, entries, capacity }: &Fill| format!("{map} {} %", entries * 100 / capacity.max(&1));
    let fills: Vec<_> = status.flow_tables.iter().map(fill).collect();
    let mut most: Vec<_> = status.drops.iter().filter(|(_, count)| **count > 0).collect();
    most.sort_by_key(|(reason, count)| (Reverse(**count), **reason));
    let others = most.len().saturating_sub(DROPS);
    let drops = most.iter().take(DROPS).map(|(reason, count)| format!("{reason} {count}"));
    let drops: Vec<_> = drops.chain((others > 0).then(|| format!("{others} other reasons"))).collect();
    let mut facts = vec![
        ("agent", agent),
        ("kernel", status.kernel.clone()),
        ("tables", format!("{services} services, {frontends} frontends, {backends} backends, {flows} flows")),
        ("flow tables", fills.join(", ")),
        ("drops", if drops.is_empty() { "none".into() } else { drops.join(", ") }),
        ("self-probe", probes(&status.self_probe)),
        ("attached", attached(status)),
    ];
    if status.inherited_flows > 0 {
        facts.push(("takeover", format!("{} connections of kube-proxy go on", status.inherited_flows)));
    }
    let line = |(name, value): (&str, String)| wrapped(&format!("{name:<INDENT$}{value}"), 0, INDENT);
    facts.into_iter().flat_map(line).collect()
}

fn probes(probes: &[Probed]) -> String {
    let one = |probed: &Probed| {
        let result = if probed.ok { format!("{} µs", probed.micros) } else { "FAILED".to_owned() };
        format!("{} {} {result}", probed.path, probed.ip_family)
    };
    let all: Vec<_> = probes.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// How many devices have what.
fn attached(status: &Status) -> String {
    let mut hooks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in &status.attached {
        hooks
            .entry(if one.device == "cgroup" { "sockets" } else { &one.hook })
            .or_default()
            .push(&one.device);
    }
    let one = |(hook, mut devices): (&str, Vec<&str>)| {
        devices.dedup();
        let count = devices.len();
        let names = if count > 3 { format!("{count} devices") } else { devices.join(" ") };
        if hook == "sockets" { hook.to_owned() } else { format!("{hook} {names}") }
    };
    let all: Vec<_> = hooks.into_iter().map(one).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// The text in lines of the screen's width; a word that is longer stays whole.
fn wrapped(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = " ".repeat(first);
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, " ".repeat(rest)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(problems: usize) -> Status {
        let advice = "restart the agent, and look into its log for what it says of this one".repeat(2);
        let problem = |n: usize| Problem {
            since: Some("2026-01-01T00:00:00Z".into()),
            ..Problem::error("something is wrong ".repeat(6), format!("device{n} ingress (IPv4)"), &*advice)
        };
        Status {
            healthy: problems == 0,
            problems: (0..problems).map(problem).collect(),
            synced: true,
            services: 12_000,
            frontends: 30_000,
            backends: 60_000,
            flows: 262_144,
            flow_tables: ["FLOWS_V4", "HALF_OPEN_V4", "FLOWS_V6", "HALF_OPEN_V6"]
                .map(|map| Fill { map: map.into(), entries: 100_000, capacity: 262_144 })
                .into(),
            attached: Vec::new(),
            kernel: "6.18.44".into(),
            agent: Some(4711),
            writes: 1,
            drops: svclb_common::verdict::DropReason::ALL.iter().map(|it| (it.as_str(), 7)).collect(),
            drops_per_second: BTreeMap::new(),
            self_probe: Vec::new(),
            inherited_flows: 17,
        }
    }

    #[test]
    fn it_fits_the_screen_however_much_is_wrong() {
        for problems in [0, 1, 3, 50] {
            let lines = lines(&status(problems));
            assert!(lines.len() <= LINES, "{problems}: {} lines", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:#?}");
            assert_eq!(lines[0].starts_with("HEALTHY"), problems == 0);
            let shown = lines.iter().filter(|line| line.starts_with("ERROR")).count();
            let is_told =
                lines.iter().any(|line| line.starts_with(&format!("and {} more", problems - shown)));
            assert_eq!(is_told, problems > shown, "{lines:#?}");
            assert!(shown >= problems.min(2), "{lines:#?}");
        }
    }
}
