//! All work with all proxies, again and again in an order of its own.

use std::collections::BTreeMap;

use anyhow::bail;

use super::{
    node::Node,
    path::{Path, Place},
    proxy::Proxy,
    target::targets,
    work::{Outcome, Sample, Task, Work},
};

/// Passes of a round, of which a round's figure is the median.
const PASSES: u32 = 5;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// With which proxy on the node.
    pub proxy: Proxy,
    /// From where to where.
    pub path: Path,
    /// What.
    pub work: Work,
}

/// The samples of a case, by round.
pub type Samples = BTreeMap<Case, Vec<Sample>>;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: u32,
    /// Connections, or exchanges, of a case in a pass.
    pub amount: u32,
    /// Milliseconds of bulk of a case in a round.
    pub bulk: u32,
}

/// Measures all nodes, whose proxies have settled.
pub fn run(nodes: &mut [Node], effort: Effort) -> anyhow::Result<Samples> {
    let mut samples = Samples::new();
    let proxies: Vec<_> = nodes.iter().map(Node::kind).collect();
    // First connections ask for neighbours.
    for place in Place::ALL {
        pass(nodes, &mut group(&proxies, place, Work::Short), 32)?;
    }
    for _round in 0..effort.rounds {
        for place in Place::ALL {
            for work in Work::ALL {
                let mut cases = group(&proxies, place, work);
                let (passes, amount) = match work {
                    Work::Connect | Work::Short | Work::PingPong => (PASSES, effort.amount),
                    Work::Bulk => (1, effort.bulk),
                };
                let mut round: BTreeMap<Case, Vec<Sample>> = BTreeMap::new();
                for _pass in 0..passes {
                    for (case, sample) in pass(nodes, &mut cases, amount)? {
                        round.entry(case).or_default().push(sample);
                    }
                }
                for (case, passes) in round {
                    samples.entry(case).or_default().push(middle(&passes));
                }
            }
        }
    }
    Ok(samples)
}

/// The cases that are compared with each other, which follow one another for that reason.
fn group(proxies: &[Proxy], place: Place, work: Work) -> Vec<Case> {
    let paths = Path::ALL.into_iter().filter(|path| path.place() == place);
    let case = |(proxy, path)| Case { proxy, path, work };
    let both = paths.flat_map(|path| proxies.iter().map(move |proxy| (*proxy, path)));
    both.filter(|(proxy, path)| *proxy != Proxy::Bare || path.is_direct()).map(case).collect()
}

fn pass(nodes: &mut [Node], cases: &mut [Case], amount: u32) -> anyhow::Result<Vec<(Case, Sample)>> {
    fastrand::shuffle(cases);
    let mut samples = Vec::new();
    for case in cases {
        let Some(node) = nodes.iter_mut().find(|node| node.kind() == case.proxy) else { continue };
        let task = Task::Work { work: case.work, amount, targets: targets(case.path) };
        match node.perform(case.path.place(), &task)? {
            Outcome::Done(sample) => samples.push((*case, sample)),
            other => bail!("{task}: {other:?}"),
        }
    }
    Ok(samples)
}

/// The median of each figure of a round's passes, of which there is an odd number.
fn middle(passes: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| {
        let mut figures: Vec<f64> = passes.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    Sample { rate: of(|sample| sample.rate), p50: of(|sample| sample.p50), p99: of(|sample| sample.p99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_every_proxy_on_both_paths_and_none_on_the_direct_one() {
        for place in Place::ALL {
            let cases = group(&Proxy::ALL, place, Work::Short);
            assert_eq!(cases.len(), Proxy::ALL.len() * 2 - 1);
            assert!(cases.iter().all(|case| case.path.place() == place));
        }
    }

    #[test]
    fn a_round_is_the_median_of_its_passes() {
        let pass = |rate, p50, p99| Sample { rate, p50, p99 };
        let passes = [pass(3.0, 9.0, 1.0), pass(1.0, 7.0, 90.0), pass(2.0, 8.0, 2.0)];
        assert_eq!(middle(&passes), pass(2.0, 8.0, 2.0));
    }
}
