//! Ratios, goals, and whether they are reached.

use serde::Serialize;

use super::{
    path::Path,
    proxy::Proxy,
    rounds::{Case, Samples},
    work::{Sample, Work},
};
use crate::spread::Spread;

/// All of one number of Services.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// How many there were.
    pub services: u32,
    /// Load of the machine, before and after.
    pub load: [f64; 2],
    /// By case.
    pub rows: Vec<Row>,
}

/// What a case is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Yardstick {
    /// The direct path of the same client on a node without proxy.
    Bare,
    /// The better of kube-proxy's modes on the same path, round by round.
    Better,
    /// That mode.
    Iptables,
    /// That mode.
    Nftables,
}

/// A case, its figures, and how they compare.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// From where to where.
    pub path: Path,
    /// What was done.
    pub work: Work,
    /// With which proxy.
    pub proxy: Proxy,
    /// The figure that is compared: microseconds of half of the connects, else the rate in [`Work::unit`].
    pub figure: Spread,
    /// Microseconds of all connects but the slowest hundredth.
    pub p99: Option<Spread>,
    /// The figure of each round.
    pub rounds: Vec<f64>,
    /// The figure to that of a yardstick, round by round.
    pub ratios: Vec<Ratio>,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// With what.
    pub to: Yardstick,
    /// The outcome.
    pub ratio: Spread,
    /// What it should be, if anything is promised.
    pub goal: Option<Goal>,
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
}

impl Goal {
    /// The ratio.
    pub fn ratio(self) -> f64 {
        match self {
            Self::Most(ratio) | Self::Least(ratio) => ratio,
        }
    }

    /// Whether a ratio reaches it.
    pub fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::Most(most) => ratio <= most,
            Self::Least(least) => ratio >= least,
        }
    }
}

impl Row {
    /// The comparison with a yardstick.
    pub fn to(&self, yardstick: Yardstick) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.to == yardstick)
    }
}

/// The rows of these samples.
pub fn rows(services: u32, samples: &Samples) -> Vec<Row> {
    samples.iter().map(|(case, rounds)| row(services, samples, *case, rounds)).collect()
}

fn row(services: u32, samples: &Samples, case: Case, rounds: &[Sample]) -> Row {
    let Case { proxy, path, work } = case;
    let values = values(work, rounds);
    let of = |proxy, path| samples.get(&Case { proxy, path, work }).map(|rounds| self::values(work, rounds));
    let bare = of(Proxy::Bare, path.direct());
    let (iptables, nftables) = (of(Proxy::Iptables, path), of(Proxy::Nftables, path));
    let better = iptables.as_ref().zip(nftables.as_ref()).map(|(one, other)| better(work, one, other));
    let yardsticks = [
        (Yardstick::Bare, bare),
        (Yardstick::Better, better),
        (Yardstick::Iptables, iptables),
        (Yardstick::Nftables, nftables),
    ];
    let ratio = |(to, yardstick): (Yardstick, Option<Vec<f64>>)| {
        let ratios: Vec<f64> = values.iter().zip(yardstick?).map(|(value, other)| value / other).collect();
        Some(Ratio { to, ratio: Spread::of(&ratios), goal: goal(services, case, to) })
    };
    let p99: Vec<f64> = rounds.iter().map(|sample| sample.p99).collect();
    Row {
        path,
        work,
        proxy,
        figure: Spread::of(&values),
        p99: (work == Work::Connect).then(|| Spread::of(&p99)),
        rounds: values.clone(),
        ratios: yardsticks.into_iter().filter_map(ratio).collect(),
    }
}

/// The figure that is compared.
fn values(work: Work, rounds: &[Sample]) -> Vec<f64> {
    rounds.iter().map(|sample| if work == Work::Connect { sample.p50 } else { sample.rate }).collect()
}

fn better(work: Work, one: &[f64], other: &[f64]) -> Vec<f64> {
    let choose = if work == Work::Connect { f64::min } else { f64::max };
    one.iter().zip(other).map(|(one, other)| choose(*one, *other)).collect()
}

fn goal(services: u32, case: Case, to: Yardstick) -> Option<Goal> {
    if !matches!(case.proxy, Proxy::Sockets | Proxy::Packets) {
        return None;
    }
    let is_many = services >= 10_000;
    match (case.work, case.path, to) {
        (Work::Connect, path, Yardstick::Bare) if path.is_direct() => Some(Goal::Most(1.02)),
        (Work::Connect, Path::PodClusterIp | Path::HostClusterIp, Yardstick::Bare) => {
            Some(Goal::Most(if case.proxy == Proxy::Sockets { 1.03 } else { 1.08 }))
        }
        (Work::Short, path, _) if path.is_direct() => None,
        (Work::Short, _, Yardstick::Better) if services <= 10 => Some(Goal::Least(1.1)),
        (Work::Short, _, Yardstick::Nftables) if is_many => Some(Goal::Least(1.15)),
        (Work::Short, _, Yardstick::Iptables) if is_many => Some(Goal::Least(3.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figure: f64) -> Sample {
        Sample { rate: figure, p50: figure, p99: figure * 2.0 }
    }

    fn samples(figures: &[(Proxy, Path, Work, [f64; 3])]) -> Samples {
        let of = |(proxy, path, work, rounds): &(Proxy, Path, Work, [f64; 3])| {
            (Case { proxy: *proxy, path: *path, work: *work }, rounds.map(sample).to_vec())
        };
        figures.iter().map(of).collect()
    }

    fn find(rows: &[Row], proxy: Proxy, work: Work) -> &Row {
        rows.iter().find(|row| row.proxy == proxy && row.work == work).unwrap()
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rows = rows(
            10,
            &samples(&[
                (Proxy::Bare, Path::PodDirect, Work::Connect, [10.0, 20.0, 40.0]),
                (Proxy::Sockets, Path::PodClusterIp, Work::Connect, [11.0, 22.0, 80.0]),
            ]),
        );
        let row = find(&rows, Proxy::Sockets, Work::Connect);
        let ratio = row.to(Yardstick::Bare).unwrap();
        assert_eq!(ratio.ratio.median.to_bits(), 1.1_f64.to_bits());
        assert_eq!(ratio.goal, Some(Goal::Most(1.03)));
        assert!(!Goal::Most(1.03).is_reached(ratio.ratio.median));
        assert_eq!(row.p99.unwrap().median.to_bits(), 44.0_f64.to_bits());
        assert!(row.to(Yardstick::Better).is_none());
    }

    #[test]
    fn the_better_mode_is_the_faster_one_of_each_round() {
        for (work, expected) in [(Work::Connect, [1.0, 2.0, 1.0]), (Work::Short, [4.0, 5.0, 6.0])] {
            assert_eq!(better(work, &[1.0, 5.0, 1.0], &[4.0, 2.0, 6.0]), expected);
        }
    }

    #[test]
    fn goals_depend_on_the_number_of_services() {
        let case = Case { proxy: Proxy::Packets, path: Path::OutsideNodePort, work: Work::Short };
        let table = [
            (10, Yardstick::Better, Some(Goal::Least(1.1))),
            (10, Yardstick::Iptables, None),
            (1000, Yardstick::Better, None),
            (10_000, Yardstick::Nftables, Some(Goal::Least(1.15))),
            (10_000, Yardstick::Iptables, Some(Goal::Least(3.0))),
        ];
        for (services, to, expected) in table {
            assert_eq!(goal(services, case, to), expected, "{services} {to:?}");
            assert_eq!(goal(services, Case { proxy: Proxy::Nftables, ..case }, to), None);
        }
        assert!(Goal::Least(1.15).is_reached(1.2) && !Goal::Least(1.15).is_reached(1.1));
    }
}
