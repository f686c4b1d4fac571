//! What was measured, as tables for people and as JSON.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;
use svclb_tests::{figure::Figure, machine::Machine, spread::Spread};

use crate::{
    case::{Case, Family, Figures, Flows, Medium},
    cases::ROUTED,
    lookups::{self, Lookups},
    name::name,
    rounds::Times,
};

/// A case and its times.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    path: String,
    /// As [`Figure`] names it.
    name: String,
    /// What the ratio is to, in the same way.
    floor: Option<String>,
    family: Family,
    medium: Medium,
    flows: Flows,
    /// Nanoseconds with wrapper and test run, by round.
    raw: Vec<f64>,
    /// Nanoseconds without those, by round.
    net: Vec<f64>,
    time: Spread,
    /// To the floor of its kind.
    ratio: Option<Spread>,
    /// To the floor that asks the kernel for the way.
    routed: Option<Spread>,
    /// Of IPv6 to IPv4.
    family_ratio: Option<Spread>,
    goal: Option<f64>,
    figures: Figures,
    lookups: Option<Lookups>,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: u32,
    packets: u32,
    rows: Vec<Row>,
}

impl Report {
    /// Puts cases and times together.
    pub(crate) fn new(cases: &[Case], times: &Times, rounds: u32, packets: u32) -> anyhow::Result<Self> {
        let find =
            |path: &str, family| cases.iter().position(|case| case.path == path && case.family == family);
        let net = |index: usize| -> Vec<f64> {
            let base = cases[index].base.and_then(|base| find(base, cases[index].family));
            match base {
                Some(base) => times[index].iter().zip(&times[base]).map(|(time, base)| time - base).collect(),
                None => times[index].clone(),
            }
        };
        let ratio = |index: usize, other: usize| {
            Spread::of(
                &net(index).iter().zip(net(other)).map(|(time, other)| time / other).collect::<Vec<_>>(),
            )
        };
        let row = |(index, case): (usize, &Case)| {
            let floor = case.floor.and_then(|floor| find(floor, case.family));
            let routed =
                find(ROUTED, case.family).filter(|_| case.medium == Medium::Xdp && case.flows == Flows::One);
            let other = find(&case.path, Family::V4).filter(|_| case.family == Family::V6);
            Row {
                path: case.path.clone(),
                name: name(case),
                floor: floor.map(|floor| name(&cases[floor])),
                family: case.family,
                medium: case.medium,
                flows: case.flows,
                raw: times[index].clone(),
                net: net(index),
                time: Spread::of(&net(index)),
                ratio: floor.map(|floor| ratio(index, floor)),
                routed: floor.and(routed).map(|routed| ratio(index, routed)),
                family_ratio: case.base.and(other).map(|other| ratio(index, other)),
                goal: case.goal,
                figures: case.figures,
                lookups: lookups::of(&case.path),
            }
        };
        let rows = cases.iter().enumerate().map(row).collect();
        Ok(Self { machine: Machine::this()?, rounds, packets, rows })
    }

    /// Writes all figures.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text + "\n").with_context(|| file.display().to_string())
    }

    /// What other programs are told: all that has a ratio.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let figure = |row: &Row| {
            let (Spread { median, lower, upper }, base) = (row.ratio?, row.floor.clone()?);
            Some(Figure {
                bench: "hotpath",
                case: row.name.clone(),
                ratio: median,
                base,
                value: row.time.median,
                unit: "ns",
                q1: lower,
                q3: upper,
                goal: row.goal,
            })
        };
        self.rows.iter().filter_map(figure).collect()
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        let Machine { kernel, processor, processors } = &self.machine;
        println!(
            "{processors} processors, {processor}; Linux {kernel}; {} rounds of {} packets",
            self.rounds, self.packets
        );
        for family in Family::BOTH {
            println!(
                "\n| {} | net ns [quartiles] | ratio to floor [quartiles] | goal | | to floor with route | lookups + writes | instructions | machine code | verified | stack |",
                family.name()
            );
            println!("|---|---|---|---|---|---|---|---|---|---|---|");
            self.rows.iter().filter(|row| row.family == family).for_each(print);
        }
        println!("\n| IPv6 to IPv4 | ratio [quartiles] | goal | |\n|---|---|---|---|");
        for row in &self.rows {
            let Some(ratio) = row.family_ratio else { continue };
            let goal = match row.flows {
                Flows::One => Some(1.6),
                Flows::Many => Some(1.25),
                Flows::New => None,
            };
            println!("| {} | {} | {} |", row.path, precise(ratio), judged(goal, Some(ratio)));
        }
    }
}

fn print(row: &Row) {
    let Row { path, time, ratio, routed, goal, figures, lookups, .. } = row;
    let asked =
        lookups.map_or_else(String::new, |Lookups { lookups, writes }| format!("{lookups} + {writes}"));
    let Figures { instructions, machine_code, verified, stack } = figures;
    let told = |ratio: &Option<Spread>| ratio.map_or_else(String::new, precise);
    let Spread { median, lower, upper } = time;
    println!(
        "| {path} | {median:.1} [{lower:.1}–{upper:.1}] | {} | {} | {} | {asked} | {instructions} | {machine_code} | {verified} | {stack} |",
        told(ratio),
        judged(*goal, *ratio),
        routed.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
    );
}

fn precise(Spread { median, lower, upper }: Spread) -> String {
    format!("{median:.2} [{lower:.2}–{upper:.2}]")
}

/// The goal, and whether it is reached.
fn judged(goal: Option<f64>, ratio: Option<Spread>) -> String {
    match (goal, ratio) {
        (Some(goal), Some(ratio)) => {
            format!("≤ {goal:.2} | {}", if ratio.median <= goal { "reached" } else { "**missed**" })
        }
        _ => " | ".to_owned(),
    }
}
