//! What was measured, as tables for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    figures::{Figures, Goal, Ratio, Row, Yardstick},
    path::Path,
    rounds::Effort,
    work::Work,
};
use crate::{figure::Figure, machine::Machine, spread::Spread};

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which bench it is of.
    pub bench: &'static str,
    /// Where.
    pub machine: Machine,
    /// How often everything was measured.
    pub rounds: u32,
    /// Connections of a case in a pass.
    pub amount: u32,
    /// By number of Services.
    pub sizes: Vec<Figures>,
}

impl Report {
    /// Puts everything together.
    pub fn new(effort: Effort, sizes: Vec<Figures>) -> anyhow::Result<Self> {
        let Effort { rounds, amount, .. } = effort;
        Ok(Self { bench: "traffic", machine: Machine::this()?, rounds, amount, sizes })
    }

    /// What other programs are told: every ratio.
    pub fn figures(&self) -> Vec<Figure> {
        let of = |services: u32, row: &Row, ratio: &Ratio| {
            let words = [word(row.work), word(row.path), word(row.proxy), services.to_string()];
            let base = match ratio.to {
                Yardstick::Bare => {
                    [words[0].clone(), word(row.path.direct()), word(ratio.to), words[3].clone()]
                }
                _ => [words[0].clone(), words[1].clone(), word(ratio.to), words[3].clone()],
            };
            let Spread { median, lower, upper } = ratio.ratio;
            Figure {
                bench: self.bench,
                case: words.join("_"),
                ratio: median,
                base: base.join("_"),
                value: row.figure.median,
                unit: if row.work == Work::Connect { "us" } else { row.work.unit() },
                q1: lower,
                q3: upper,
                goal: ratio.goal.map(Goal::ratio),
            }
        };
        let of_row =
            |services, row: &Row| row.ratios.iter().map(|ratio| of(services, row, ratio)).collect::<Vec<_>>();
        self.sizes
            .iter()
            .flat_map(|size| size.rows.iter().flat_map(|row| of_row(size.services, row)))
            .collect()
    }

    /// As Markdown.
    pub fn tables(&self) -> String {
        let Machine { kernel, processor, processors } = &self.machine;
        let mut text = format!(
            "{processors} processors, {processor}; Linux {kernel}; {} rounds of {} connections in each of 5 passes\n",
            self.rounds, self.amount
        );
        for Figures { services, load: [before, after], rows } in &self.sizes {
            // Writing to text cannot fail.
            writeln!(text, "\n### {services} Services (load {before:.1} before, {after:.1} after)").ok();
            for work in Work::ALL {
                writeln!(text, "\n{}\n|---|---|---|---|---|---|---|", head(work)).ok();
                for path in Path::ALL {
                    for row in rows.iter().filter(|row| row.work == work && row.path == path) {
                        line(&mut text, row);
                    }
                }
            }
        }
        text
    }
}

/// A name as figures write it.
fn word(name: impl Serialize) -> String {
    // Names are texts in JSON.
    let text = serde_json::to_value(name).unwrap_or_default();
    text.as_str().unwrap_or_default().replace('-', "_")
}

fn head(work: Work) -> String {
    let figure = match work {
        Work::Connect => "µs, p50 [quartiles] / p99",
        _ => work.unit(),
    };
    format!(
        "| {} | proxy | {figure} | to bare [quartiles] | to the better kube-proxy | to iptables | to nftables |",
        work.name()
    )
}

fn line(text: &mut String, row: &Row) {
    let Spread { median, lower, upper } = row.figure;
    let digits = usize::from(median < 1000.0);
    let p99 = row.p99.map_or_else(String::new, |p99| format!(" / {:.1}", p99.median));
    let told = [Yardstick::Bare, Yardstick::Better, Yardstick::Iptables, Yardstick::Nftables]
        .map(|yardstick| row.to(yardstick).map_or_else(String::new, told));
    // Writing to text cannot fail.
    writeln!(
        text,
        "| {} | {} | {median:.digits$} [{lower:.digits$}–{upper:.digits$}]{p99} | {} |",
        row.path.name(),
        row.proxy.name(),
        told.join(" | "),
    )
    .ok();
}

/// A ratio, and its goal if there is one.
fn told(ratio: &Ratio) -> String {
    let Spread { median, lower, upper } = ratio.ratio;
    let text = format!("{median:.2} [{lower:.2}–{upper:.2}]");
    let Some(goal) = ratio.goal else { return text };
    let word = if goal.is_reached(median) { "reached" } else { "**missed**" };
    match goal {
        Goal::Most(most) => format!("{text} ≤ {most:.2}: {word}"),
        Goal::Least(least) => format!("{text} ≥ {least:.2}: {word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::proxy::Proxy;

    #[test]
    fn a_row_tells_its_figure_its_ratios_and_its_goals() {
        let spread = |median| Spread { median, lower: median - 0.01, upper: median + 0.01 };
        let goal = |to, median, goal| Ratio { to, ratio: spread(median), goal: Some(goal) };
        let row = Row {
            path: Path::PodClusterIp,
            work: Work::Connect,
            proxy: Proxy::Sockets,
            figure: spread(20.0),
            p99: Some(spread(90.0)),
            rounds: vec![20.0],
            ratios: vec![
                goal(Yardstick::Bare, 1.01, Goal::Most(1.03)),
                goal(Yardstick::Nftables, 1.1, Goal::Least(1.15)),
            ],
        };
        let mut text = String::new();
        line(&mut text, &row);
        let expected = "| pod to ClusterIP | svclb, at sockets | 20.0 [20.0–20.0] / 90.0 \
                        | 1.01 [1.00–1.02] ≤ 1.03: reached |  |  | 1.10 [1.09–1.11] ≥ 1.15: **missed** |\n";
        assert_eq!(text, expected);
        let sizes = vec![Figures { services: 10_000, load: [0.0; 2], rows: vec![row] }];
        let told = Report::new(Effort { rounds: 1, amount: 1, bulk: 1 }, sizes).unwrap().figures();
        let names = told.iter().map(|figure| (figure.case.as_str(), figure.base.as_str(), figure.goal));
        let case = "connect_pod_cluster_ip_sockets_10000";
        let expected = [
            (case, "connect_pod_direct_bare_10000", Some(1.03)),
            (case, "connect_pod_cluster_ip_nftables_10000", Some(1.15)),
        ];
        assert!(names.eq(expected), "{told:?}");
    }
}
