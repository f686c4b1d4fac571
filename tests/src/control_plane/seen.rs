//! What a client sees of a proxy that follows a cluster: the same for svclb and for kube-proxy.
//!
//! Nothing is asked of the proxies. A Service answers, or another server answers in its name; a client in a pod looks for
//! that without pause. With kube-proxy one answer stands for all, for it writes everything in one transaction; svclb
//! has to say besides that its tables are complete.

use std::time::{Duration, Instant};

use anyhow::bail;
use nix::{
    poll::ppoll,
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime},
};
use serde::Serialize;

use super::{proc::Memory, shape::Shape};
use crate::{
    spread::percentile,
    traffic::{
        node::Node,
        path::Place,
        proxy::{Programs, Proxy},
        target::{asked, moving, moving_slice},
        work::{Outcome, Task},
    },
};

/// Clusters that are looked at: kube-proxy is no match for larger ones.
const LARGEST: (u32, u32) = (10_000, 100_000);
/// Before each change; kube-proxy writes once in a second.
const BETWEEN: Duration = Duration::from_millis(1500);

/// What was seen of one proxy.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Which.
    pub proxy: Proxy,
    /// Milliseconds from the start of its process until Services answer.
    pub started: f64,
    /// Milliseconds of processor time until then, with that of the commands that it starts.
    pub start_cpu: f64,
    /// One endpoint moves.
    pub change: Change,
    /// After the changes.
    pub memory: Memory,
}

/// One endpoint of one Service moves to another pod.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Change {
    /// How often.
    pub changes: usize,
    /// Milliseconds from the change at the server to the first answer of the other pod: of half of them.
    pub p50: f64,
    /// Of the slowest.
    pub max: f64,
    /// Milliseconds of processor time for each, with that of the commands that it starts.
    pub cpu: f64,
}

/// A node whose proxy is at work.
struct Watched {
    node: Node,
    started: f64,
    start_cpu: Duration,
    before: Duration,
    times: Vec<f64>,
}

/// Looks at svclb and at kube-proxy's modes, whose changes are interleaved.
pub fn seen(programs: &Programs, shape: &Shape) -> anyhow::Result<Vec<Seen>> {
    if programs.kube_proxy.is_none() || shape.services > LARGEST.0 || shape.all_endpoints() > LARGEST.1 {
        return Ok(vec![]);
    }
    let mut all = Vec::new();
    for proxy in [Proxy::Packets, Proxy::Iptables, Proxy::Nftables] {
        eprintln!("{}: {}", shape.name, proxy.name());
        all.push(Watched::start(programs, shape, proxy)?);
    }
    let rounds = if shape.services > 1000 { 8 } else { 20 };
    for round in 0..rounds {
        fastrand::shuffle(&mut all);
        for watched in &mut all {
            watched.change(if round % 2 == 0 { 2 } else { 1 })?;
        }
    }
    let mut seen = all.into_iter().map(Watched::end).collect::<anyhow::Result<Vec<_>>>()?;
    seen.sort_by_key(|seen| seen.proxy);
    Ok(seen)
}

impl Watched {
    fn start(programs: &Programs, shape: &Shape, proxy: Proxy) -> anyhow::Result<Self> {
        let mut node = Node::build(programs, proxy)?;
        node.publish(shape.objects().chain(asked()).collect())?;
        let begin = Instant::now();
        node.launch()?;
        node.settle()?;
        let started = milliseconds(begin.elapsed());
        let start_cpu = node.cpu_time()?;
        Ok(Self { node, started, start_cpu, before: start_cpu, times: Vec::new() })
    }

    fn change(&mut self, server: u8) -> anyhow::Result<()> {
        ppoll(&mut [], Some(TimeSpec::from_duration(BETWEEN)), None)?;
        if self.times.is_empty() {
            self.before = self.node.cpu_time()?;
        }
        let slice = moving_slice(server);
        let asked = self.node.begin(Place::Pod, &Task::Await { server, target: moving() })?;
        let begin = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        self.node.apply(vec![slice])?;
        match self.node.end(Place::Pod, asked)? {
            Outcome::Answered(at) => {
                self.times.push(milliseconds(Duration::from_nanos(at).saturating_sub(begin)));
            }
            other => bail!("{other:?}"),
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Seen> {
        self.times.sort_by(f64::total_cmp);
        let cpu = milliseconds(self.node.cpu_time()?.saturating_sub(self.before));
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let changes = self.times.len() as f64;
        let seen = Seen {
            proxy: self.node.kind(),
            started: self.started,
            start_cpu: milliseconds(self.start_cpu),
            change: Change {
                changes: self.times.len(),
                p50: percentile(&self.times, 50),
                max: percentile(&self.times, 100),
                cpu: cpu / changes,
            },
            memory: Memory::of(self.node.pid()?)?,
        };
        self.node.stop()?;
        Ok(seen)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
