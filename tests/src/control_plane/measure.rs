//! The measurements of one cluster.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    poll::ppoll,
    sys::{prctl, signal::Signal, time::TimeSpec},
};
use serde::Serialize;
use serde_json::Value;
use svclb::sys::mapped::MappedArray;
use svclb_common::state::AgentState;

use super::{
    ground::Ground,
    proc::{Memory, Thread, cpu_time},
    seen::{Seen, seen},
    shape::{self, NODE, Shape},
};
use crate::{apiserver::ApiServer, netns::process::Process, traffic::proxy::Programs};

/// Between two looks at the agent's state, which announces nothing. Every time is too long by as much at most.
const PAUSE: Duration = Duration::from_micros(20);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long an agent is to have nothing to do before it is looked at, and while.
const QUIET: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(20);
/// Between two changes.
const BETWEEN: Duration = Duration::from_millis(5);
/// Changes of one size.
const CHANGES: u32 = 400;
/// Changes of each large Service.
const LARGE_CHANGES: u32 = 20;

/// A start of an agent; times in milliseconds since its process was started.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Start {
    /// The kernel has taken all programs.
    pub loaded: f64,
    /// The last list was handed to the agent.
    pub listed: f64,
    /// Its tables and hooks are complete.
    pub synced: f64,
    /// What it has written to tables.
    pub writes: u64,
}

impl Start {
    /// Milliseconds from complete lists and loaded programs to tables and hooks that are complete.
    pub fn programming(&self) -> f64 {
        self.synced - self.loaded.max(self.listed)
    }
}

/// What single changes of slices cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Churn {
    /// How many.
    pub changes: usize,
    /// Milliseconds from the change at the server to the last write: of half of them.
    pub p50: f64,
    /// Of all but the slowest hundredth.
    pub p99: f64,
    /// Of the slowest.
    pub max: f64,
    /// As `p50`, less what the threads of server and agent have waited for a processor.
    pub p50_run: f64,
    /// As `p99`, less the same.
    pub p99_run: f64,
    /// Milliseconds of processor time of the agent for each.
    pub cpu: f64,
    /// Writes to tables for each.
    pub writes: f64,
}

/// All of one cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Its name.
    pub shape: &'static str,
    /// How many Services.
    pub services: u32,
    /// How many endpoints in all.
    pub endpoints: u32,
    /// From nothing.
    pub cold: Start,
    /// Over what the agent before has left.
    pub restart: Start,
    /// After the cold start.
    pub memory: Memory,
    /// After the restart.
    pub memory_restart: Memory,
    /// Percent of a processor without any change.
    pub idle: f64,
    /// One endpoint of one Service moves to another pod.
    pub churn: Churn,
    /// The same where the Service has [`shape::MANY_PORTS`].
    pub many_ports: Churn,
    /// The same where it has [`shape::MANY_ENDPOINTS`].
    pub many_endpoints: Churn,
    /// svclb beside kube-proxy, if that is looked at.
    pub seen: Vec<Seen>,
}

/// Measures `shape` with these programs.
pub fn figures(programs: &Programs, shape: &Shape) -> anyhow::Result<Figures> {
    prctl::set_timerslack(1)?;
    let ground = Ground::build(&programs.agent)?;
    let server = ApiServer::serve(ground.listen()?)?;
    let kubeconfig = ground.path("kubeconfig");
    server.write_kubeconfig(&kubeconfig)?;
    server.apply_all(shape.objects().chain(shape::large()));
    server.forget();

    let bench = Bench { ground, server, kubeconfig };
    let (running, cold) = bench.start()?;
    pause(QUIET)?;
    let memory = Memory::of(running.pid())?;
    let idle = running.idle()?;
    let small = |step: u32| {
        // Far apart, so that no change finds what the one before has left in caches.
        let number = step.wrapping_mul(7919) % shape.services;
        let moved: &[u32] = if step < CHANGES / 2 { &[0] } else { &[0, 1] };
        shape.slices(number, moved).into_iter().take(1).collect()
    };
    let churn = bench.churn(&running, CHANGES, small)?;
    let many_ports = bench.churn(&running, LARGE_CHANGES, |step| shape::many_ports(&[0, 2 + step]))?;
    let many_endpoints = bench.churn(&running, LARGE_CHANGES, |step| {
        let moved = step.is_multiple_of(2).then_some(step / 2 * 100);
        let index = step as usize / 2;
        shape::many_endpoints(moved).into_iter().skip(index).take(1).collect()
    })?;
    running.stop()?;
    let (running, restart) = bench.start()?;
    pause(QUIET)?;
    let memory_restart = Memory::of(running.pid())?;
    running.stop()?;
    drop(bench);
    Ok(Figures {
        shape: shape.name,
        services: shape.services,
        endpoints: shape.all_endpoints(),
        cold,
        restart,
        memory,
        memory_restart,
        idle,
        churn,
        many_ports,
        many_endpoints,
        seen: seen(programs, shape)?,
    })
}

/// A node and the server of its objects.
struct Bench {
    ground: Ground,
    server: ApiServer,
    kubeconfig: PathBuf,
}

/// An agent at work.
struct Running {
    process: Process,
    state: MappedArray<AgentState>,
}

impl Bench {
    /// Starts an agent and waits until it has done everything.
    fn start(&self) -> anyhow::Result<(Running, Start)> {
        let begin = Instant::now();
        let mut process = self.ground.start(("--kubeconfig", &self.kubeconfig), NODE)?;
        let pid = process.pid();
        let waited = await_start(&self.ground, &mut process, pid);
        let (state, loaded, synced) =
            waited.with_context(|| format!("the agent's log:\n{}", process.log.text()))?;
        let listed = self.server.last_list().context("the agent has asked for no list")?;
        let running = Running { process, state };
        let start = Start {
            loaded: milliseconds(loaded - begin),
            listed: milliseconds(listed - begin),
            synced: milliseconds(synced - begin),
            writes: running.agent()?.writes.load(),
        };
        Ok((running, start))
    }

    /// Changes objects `changes` times, each time after the agent has done the one before.
    fn churn(
        &self,
        running: &Running,
        changes: u32,
        objects: impl Fn(u32) -> Vec<Value>,
    ) -> anyhow::Result<Churn> {
        let agent = running.agent()?;
        let (mut times, mut running_times, before) = (Vec::new(), Vec::new(), agent.writes.load());
        let threads = [Thread::main_of(running.pid()), Thread::named("apiserver")?];
        let waited = || -> anyhow::Result<Duration> { threads.iter().map(Thread::waited).sum() };
        let cpu = cpu_time(running.pid())?;
        for step in 0..changes {
            let objects = objects(step);
            pause(BETWEEN)?;
            let (passes, idle, begin) = (agent.applied.load(), waited()?, Instant::now());
            self.server.apply_all(objects);
            until("a change in the tables", || Ok((agent.applied.load() != passes).then_some(())))?;
            let time = begin.elapsed();
            times.push(milliseconds(time));
            running_times.push(milliseconds(time.saturating_sub(waited()?.saturating_sub(idle))));
        }
        let cpu = cpu_time(running.pid())?.saturating_sub(cpu);
        let writes = agent.writes.load() - before;
        times.sort_by(f64::total_cmp);
        running_times.sort_by(f64::total_cmp);
        Ok(Churn {
            changes: times.len(),
            p50: part_of(&times, 50),
            p99: part_of(&times, 99),
            max: times.last().copied().unwrap_or_default(),
            p50_run: part_of(&running_times, 50),
            p99_run: part_of(&running_times, 99),
            cpu: milliseconds(cpu) / f64::from(changes),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            writes: writes as f64 / f64::from(changes),
        })
    }
}

impl Running {
    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn agent(&self) -> anyhow::Result<&AgentState> {
        self.state.get(0).context("the agent's state is empty")
    }

    /// Percent of a processor.
    fn idle(&self) -> anyhow::Result<f64> {
        let (begin, before) = (Instant::now(), cpu_time(self.pid())?);
        pause(IDLE)?;
        let used = cpu_time(self.pid())?.saturating_sub(before);
        Ok(used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0)
    }

    fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.end(Signal::SIGTERM)?;
        ensure!(status.success(), "the agent ended with {status}:\n{}", self.process.log.text());
        Ok(())
    }
}

/// The agent's state, and when it had loaded its programs and was in sync.
fn await_start(
    ground: &Ground,
    process: &mut Process,
    pid: u32,
) -> anyhow::Result<(MappedArray<AgentState>, Instant, Instant)> {
    let mut lives = || -> anyhow::Result<()> {
        if process.has_ended()? {
            bail!("the agent has ended")
        }
        Ok(())
    };
    let state = until("the agent's state", || {
        lives()?;
        ground.state()
    })?;
    let agent = state.get(0).context("the agent's state is empty")?;
    until("loaded programs", || {
        lives()?;
        Ok((agent.pid.load() == pid).then_some(()))
    })?;
    let loaded = Instant::now();
    until("complete tables", || {
        lives()?;
        Ok((agent.synced.load() == 1).then_some(()))
    })?;
    let synced = Instant::now();
    Ok((state, loaded, synced))
}

/// Looks until `look` finds something.
fn until<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        pause(PAUSE)?;
    }
}

/// An empty `ppoll(2)`.
fn pause(duration: Duration) -> anyhow::Result<()> {
    ppoll(&mut [], Some(TimeSpec::from_duration(duration)), None)?;
    Ok(())
}

/// That of `sorted` which so many percent are below.
fn part_of(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
