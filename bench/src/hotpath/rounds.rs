//! Rounds of passes over all cases.
//!
//! A round is many short passes over all cases, each in an order of its own, so that slow and fast phases of a shared
//! machine hit all of them alike; the round's figure is the mean of the middle half of its passes. Ratios are taken
//! within a round.

use anyhow::ensure;

use crate::{
    case::{Case, Flows},
    stats::middle_half,
    wrapper::Wrapper,
};

/// Passes of a round.
pub(crate) const PASSES: u32 = 40;

/// Packets before those that are counted, as a part of them.
const WARM_UP: u32 = 20;

/// Nanoseconds per packet of each case, by case and round.
pub(crate) type Times = Vec<Vec<f64>>;

/// Runs all rounds.
pub(crate) fn run(wrapper: &mut Wrapper, cases: &[Case], rounds: u32, packets: u32) -> anyhow::Result<Times> {
    let mut times = vec![Vec::new(); cases.len()];
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let each = (packets / PASSES).max(1);
    let warm_up = each / WARM_UP + 1;
    // Beyond what filled the tables; flows that are new stay new from pass to pass.
    let mut next = 1 << 20;
    for round in 1..=rounds {
        let mut passes = vec![Vec::new(); cases.len()];
        for _ in 0..PASSES {
            random.shuffle(&mut order);
            for &index in &order {
                let case = &cases[index];
                let step = case.flows.step();
                wrapper.run(case, warm_up, next, step)?;
                let ran = wrapper.run(case, each, next + u64::from(warm_up), step)?;
                if case.flows == Flows::New {
                    next += u64::from(warm_up + each);
                }
                ensure!(
                    ran.verdict == case.verdict,
                    "{}: verdict {} in round {round}",
                    case.path,
                    ran.verdict
                );
                // The kernel tells whole nanoseconds and drops the rest.
                passes[index].push(ran.time.as_secs_f64() * 1e9 + 0.5);
            }
        }
        for (times, passes) in times.iter_mut().zip(&passes) {
            times.push(middle_half(passes));
        }
        eprintln!("hotpath: round {round} of {rounds}");
    }
    Ok(times)
}

/// Numbers without a pattern (xorshift): the order needs no more.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}
