//! What is told of the measurements: a table with goals, and JSON.

use std::fmt::Write as _;

use super::{measure::Figures, seen::Seen};
use crate::{figure::Figure, traffic::proxy::Proxy};

/// A figure that there is a goal for.
struct Goal {
    shape: &'static str,
    what: &'static str,
    unit: &'static str,
    most: f64,
    of: fn(&Figures) -> f64,
}

const GOALS: [Goal; 7] = [
    Goal {
        shape: "10kx10",
        what: "changed slice to last write, p50",
        unit: "ms",
        most: 1.0,
        of: |figures| figures.churn.p50,
    },
    Goal {
        shape: "10kx10",
        what: "changed slice to last write, p99",
        unit: "ms",
        most: 5.0,
        of: |figures| figures.churn.p99,
    },
    Goal {
        shape: "10kx10",
        what: "the same, less what agent and server waited for a processor",
        unit: "ms",
        most: 5.0,
        of: |figures| figures.churn.p99_run,
    },
    Goal {
        shape: "10kx10",
        what: "complete lists to in sync",
        unit: "ms",
        most: 1000.0,
        of: |figures| figures.cold.programming(),
    },
    Goal {
        shape: "10k",
        what: "resident memory",
        unit: "MiB",
        most: 60.0,
        of: |figures| mebibytes(figures.memory.resident),
    },
    Goal {
        shape: "10kx10",
        what: "resident memory",
        unit: "MiB",
        most: 120.0,
        of: |figures| mebibytes(figures.memory.resident),
    },
    Goal { shape: "10kx10", what: "idle", unit: "% of a core", most: 0.1, of: |figures| figures.idle },
];

/// The measurements as text.
pub fn table(all: &[Figures]) -> String {
    let mut text = String::from("Starts: milliseconds since the process began\n\n");
    line(
        &mut text,
        &[
            "CLUSTER",
            "SERVICES",
            "ENDPOINTS",
            "",
            "LOADED",
            "LISTED",
            "IN SYNC",
            "TO SYNC",
            "WRITES",
            "RSS MiB",
            "ANON",
            "FILE",
            "PEAK",
        ],
    );
    for figures in all {
        for (which, start, memory) in
            [("cold", &figures.cold, &figures.memory), ("restart", &figures.restart, &figures.memory_restart)]
        {
            let size =
                [figures.shape.to_owned(), figures.services.to_string(), figures.endpoints.to_string()];
            let times = [start.loaded, start.listed, start.synced, start.programming()].map(whole);
            let memory =
                [memory.resident, memory.anonymous, memory.file, memory.peak].map(|kb| whole(mebibytes(kb)));
            let cells: Vec<_> = size
                .into_iter()
                .chain([which.to_owned()])
                .chain(times)
                .chain([start.writes.to_string()])
                .chain(memory)
                .collect();
            line(&mut text, &cells);
        }
    }
    text += "\nOne endpoint moves: milliseconds from the server to the last write\n\n";
    line(
        &mut text,
        &["CLUSTER", "", "CHANGES", "P50", "P99", "MAX", "P50 RUN", "P99 RUN", "CPU", "WRITES", "IDLE %"],
    );
    for figures in all {
        let rows = [
            ("any Service", &figures.churn),
            ("of 400 ports", &figures.many_ports),
            ("of 5,000 endpoints", &figures.many_endpoints),
        ];
        for (index, (which, churn)) in rows.into_iter().enumerate() {
            let idle = if index == 0 { format!("{:.3}", figures.idle) } else { String::new() };
            let times = [churn.p50, churn.p99, churn.max, churn.p50_run, churn.p99_run, churn.cpu]
                .map(|time| format!("{time:.2}"));
            let cells: Vec<_> = [figures.shape.to_owned(), which.to_owned(), churn.changes.to_string()]
                .into_iter()
                .chain(times)
                .chain([format!("{:.1}", churn.writes), idle])
                .collect();
            line(&mut text, &cells);
        }
    }
    seen_table(&mut text, all);
    text += "\nGoals\n\n";
    for goal in &GOALS {
        let Some(figures) = all.iter().find(|figures| figures.shape == goal.shape) else { continue };
        let value = (goal.of)(figures);
        let word = if value <= goal.most { "reached" } else { "MISSED" };
        let Goal { shape, what, unit, most, .. } = goal;
        let told = format!("  {word:<8} {shape:<7} {what}: {value:.3} of {most} {unit}");
        text += &told;
        text.push('\n');
    }
    text
}

/// What other programs are told: each figure to that of the first cluster of the run, and what a client sees of svclb to
/// what it sees of kube-proxy. One run has no quartiles.
pub fn figures(all: &[Figures]) -> Vec<Figure> {
    let Some(first) = all.first() else { return Vec::new() };
    let figure = |case: String, value: f64, unit, base: String, other: f64| Figure {
        bench: "control-plane",
        case,
        ratio: value / other,
        base,
        value,
        unit,
        q1: value / other,
        q3: value / other,
        goal: None,
    };
    let mut told = Vec::new();
    for figures in all {
        for (name, unit, of) in TOLD {
            let case = |figures: &Figures| format!("{name}_{}", figures.shape);
            told.push(figure(case(figures), of(figures), unit, case(first), of(first)));
        }
        let Some(own) = figures.seen.iter().find(|seen| seen.proxy == Proxy::Packets) else { continue };
        for other in figures.seen.iter().filter(|seen| seen.proxy != own.proxy) {
            for (name, of) in SEEN {
                let case = |seen: &Seen| {
                    let proxy = seen.proxy.name().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
                    format!("seen_{name}_{proxy}_{}", figures.shape).replace("__", "_")
                };
                told.push(figure(case(own), of(own), "ms", case(other), of(other)));
            }
        }
    }
    told
}

/// Name, unit, and where it is found.
type Told = (&'static str, &'static str, fn(&Figures) -> f64);

const TOLD: [Told; 8] = [
    ("change_p50", "ms", |figures| figures.churn.p50),
    ("change_p99", "ms", |figures| figures.churn.p99),
    ("change_cpu", "ms", |figures| figures.churn.cpu),
    ("cold_programming", "ms", |figures| figures.cold.programming()),
    ("restart_programming", "ms", |figures| figures.restart.programming()),
    ("resident", "MiB", |figures| mebibytes(figures.memory.resident)),
    ("peak", "MiB", |figures| mebibytes(figures.memory.peak)),
    ("idle", "% of a core", |figures| figures.idle),
];

/// The same of what a client sees.
type Look = (&'static str, fn(&Seen) -> f64);

const SEEN: [Look; 3] = [
    ("start", |seen| seen.started),
    ("change_p50", |seen| seen.change.p50),
    ("change_max", |seen| seen.change.max),
];

/// What a client sees of svclb and of kube-proxy.
fn seen_table(text: &mut String, all: &[Figures]) {
    if all.iter().all(|figures| figures.seen.is_empty()) {
        return;
    }
    *text += "\nSeen by a client: milliseconds to the first answer, of which there are so many; CPU with children\n\n";
    let head = ["CLUSTER", "", "START", "CPU", "CHANGES", "P50", "MAX", "CPU", "RSS MiB", "PEAK"];
    line(text, &head);
    for figures in all {
        for Seen { proxy, started, start_cpu, change, memory } in &figures.seen {
            let times = [change.p50, change.max, change.cpu].map(|time| format!("{time:.2}"));
            let memory = [memory.resident, memory.peak].map(|kb| whole(mebibytes(kb)));
            let cells: Vec<_> = [figures.shape.to_owned(), proxy.name().to_owned()]
                .into_iter()
                .chain([whole(*started), whole(*start_cpu), change.changes.to_string()])
                .chain(times)
                .chain(memory)
                .collect();
            line(text, &cells);
        }
    }
}

fn line(text: &mut String, cells: &[impl AsRef<str>]) {
    for (index, cell) in cells.iter().enumerate() {
        let cell = cell.as_ref();
        // Writing to text cannot fail.
        match index {
            0 => write!(text, "  {cell:<8}").ok(),
            1 => write!(text, "{cell:<22}").ok(),
            _ => write!(text, "{cell:>10}").ok(),
        };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn mebibytes(kb: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let kb = kb as f64;
    kb / 1024.0
}
