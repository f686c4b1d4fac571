//! The collector: a thread that walks through what programs write and takes away what is over.
//!
//! A thread of its own, because the kernel may look for the next entry of a large and empty table for longer than the
//! agent's task can wait. It works in small steps and rests after each in proportion to what the step has cost.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use svclb_common::{
    family::{V4, V6},
    flow::Timeouts,
};

use super::told::Told;
use crate::{
    datapath::{
        Error,
        family::MapFamily,
        pins::Pins,
        resize,
        sweep::{Sweep, Walked},
    },
    metrics::{Metrics, Walk},
};

/// From the start of a walk to that of the next, if it does not take longer.
const PERIOD: Duration = Duration::from_secs(5);

/// One CPU is as much as this many collectors need at the most.
const SHARE: u32 = 100;

/// The same while there is nothing to collect: to find that out takes as long as the tables have room.
const IDLE_SHARE: u32 = 1000;

/// The longest time for which nobody looks at empty tables.
const LONGEST: Duration = Duration::from_secs(30);

/// How long empty tables are left alone that took so much work of a CPU.
fn leave(busy: Duration) -> Duration {
    (busy * (IDLE_SHARE - 1)).min(LONGEST)
}

/// How long to rest after so much work of a CPU.
fn rest(busy: Duration) -> Duration {
    busy * (SHARE - 1)
}

/// The collector, until it is dropped.
pub(super) struct Expiry {
    _stop: Sender<()>,
}

impl Expiry {
    /// Starts to walk through the tables that are pinned there.
    pub(super) fn start(pins: &Pins, timeouts: Timeouts, metrics: Metrics) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let collector = Collector { pins: pins.clone(), timeouts, metrics, stopped };
        thread::Builder::new().name("collector".into()).spawn(move || collector.run())?;
        Ok(Self { _stop: stop })
    }
}

struct Collector {
    pins: Pins,
    timeouts: Timeouts,
    metrics: Metrics,
    stopped: Receiver<()>,
}

/// Why a walk ended early.
enum End {
    /// The agent ends.
    Stopped,
    /// A table could not be read or written.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Collector {
    fn run(self) {
        let mut failures = Told::default();
        let mut sweeps = None;
        loop {
            let began = Instant::now();
            let (failure, period) = match self.round(&mut sweeps) {
                Ok(None) => (None, PERIOD),
                Ok(Some(idle)) => (None, PERIOD.max(leave(idle))),
                Err(End::Stopped) => return,
                Err(End::Failed(error)) => (Some(error.to_string()), PERIOD),
            };
            failures.now(failure, |line| tracing::warn!("flows that are over are not forgotten: {line}"));
            if self.wait(period.saturating_sub(began.elapsed())).is_err() {
                return;
            }
        }
    }

    /// Walks through the tables of both families. If there was nothing in them, tells what that took of a CPU.
    fn round(&self, sweeps: &mut Option<(Sweep<V4>, Sweep<V6>)>) -> Result<Option<Duration>, End> {
        // What moves to tables of another size is left alone until it is there.
        if resize::is_pending(&self.pins) {
            return Ok(None);
        }
        sweeps.take_if(|(v4, v6)| !(v4.is_current(&self.pins) && v6.is_current(&self.pins)));
        let (v4, v6) = match sweeps {
            Some(sweeps) => sweeps,
            None => sweeps
                .insert((Sweep::open(&self.pins, self.timeouts)?, Sweep::open(&self.pins, self.timeouts)?)),
        };
        let (v4, v6) = (self.walk(v4)?, self.walk(v6)?);
        Ok(v4.zip(v6).map(|(v4, v6)| v4 + v6))
    }

    fn walk<F: MapFamily>(&self, sweep: &mut Sweep<F>) -> Result<Option<Duration>, End> {
        let (began, mut all) = (Instant::now(), Duration::ZERO);
        loop {
            let before = busy();
            let walked = sweep.step()?;
            let cost = busy().saturating_sub(before);
            all += cost;
            if let Some(Walked { flows, expired, halves, sockets, affinities }) = walked {
                let is_idle = flows.iter().sum::<u64>() + expired + halves + sockets + affinities == 0;
                let expired = [("flows", expired), ("sockets", sockets), ("affinities", affinities)];
                let walk = Walk { flows, expired, halves, took: began.elapsed(), busy: all };
                self.metrics.walked(F::MODEL, &walk);
                self.wait(rest(cost))?;
                return Ok(is_idle.then_some(all));
            }
            self.wait(rest(cost))?;
        }
    }

    fn wait(&self, time: Duration) -> Result<(), End> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(End::Stopped),
        }
    }
}

/// For how long a CPU has worked for this thread.
fn busy() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_tables_cost_a_tenth_of_that_and_are_looked_at_again() {
        assert_eq!(leave(Duration::from_millis(10)), Duration::from_millis(9_990));
        assert_eq!(leave(Duration::from_mins(1)), LONGEST);
    }

    proptest! {
        #[test]
        fn the_collector_needs_a_hundredth_of_a_cpu(steps in prop::collection::vec(0_u64..1_000_000_000, 1..20)) {
            let busy: Duration = steps.iter().map(|nanos| Duration::from_nanos(*nanos)).sum();
            let resting: Duration = steps.iter().map(|nanos| rest(Duration::from_nanos(*nanos))).sum();
            prop_assert_eq!(busy * 100, busy + resting);
        }
    }
}
