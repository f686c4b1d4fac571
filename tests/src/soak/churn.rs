//! Endpoints that change all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use serde_json::Value;

use super::clients::CHURNED;
use crate::{
    apiserver::Objects,
    netns::{
        churn::Churn,
        layout::{POD2, POD3, POD4},
        manifest::Service,
    },
};

/// Changes a second, each of a Service's slices.
const RATE: u32 = 1000;

/// What a server remembers of what has happened, so that it does not grow.
const KEPT: usize = 20_000;

/// Between two looks whether it is to go on.
const REST: Duration = Duration::from_millis(20);

/// Different states of the endpoints.
const STATES: usize = 64;

/// Endpoints that change until this is dropped.
pub(super) struct Churning {
    changes: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    rests: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What changes.
const CHURN: Churn =
    Churn { name: "churned", number: CHURNED, always: POD2, others: &[POD3, POD4], rate: RATE };

/// The Service before anything has changed.
pub(super) fn service() -> Service {
    CHURN.service()
}

impl Churning {
    /// Begins. Whoever is asked to serve does so all the time, and one endpoint always is ready.
    pub(super) fn start(objects: Objects) -> anyhow::Result<Self> {
        let states = (0..STATES).map(|_| CHURN.service().objects()).collect::<anyhow::Result<Vec<_>>>()?;
        let (changes, is_over, rests) = <(Arc<AtomicU64>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let shared = (Arc::clone(&changes), Arc::clone(&is_over), Arc::clone(&rests));
        let thread =
            thread::Builder::new().name("churn".into()).spawn(move || run(&objects, &states, &shared))?;
        Ok(Self { changes, is_over, rests, thread: Some(thread) })
    }

    /// Lets it rest, or go on.
    pub(super) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Ends it; tells how many changes there were.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        self.end()?;
        Ok(self.changes.load(Ordering::Relaxed))
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.thread().unpark();
        thread.join().map_err(|_panic| anyhow!("the churn has panicked"))
    }
}

impl Drop for Churning {
    fn drop(&mut self) {
        // Whoever wants to know has asked.
        self.end().ok();
    }
}

/// How many changes there were, whether it is over, and whether it rests.
type Shared = (Arc<AtomicU64>, Arc<AtomicBool>, Arc<AtomicBool>);

fn run(objects: &Objects, states: &[Vec<Value>], (changes, is_over, rests): &Shared) {
    let mut begun = Instant::now();
    let mut done = 0_u32;
    for state in states.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        while rests.load(Ordering::Relaxed) && !is_over.load(Ordering::Relaxed) {
            let rested = Instant::now();
            thread::park_timeout(REST);
            begun += rested.elapsed();
        }
        // The Service is there from the beginning, and stays as it is.
        objects.apply_all(state.iter().filter(|object| object["kind"] != "Service").cloned(), KEPT);
        done += 1;
        changes.store(done.into(), Ordering::Relaxed);
        // Ahead of its rate it waits, but not for an end that has come.
        let due = Duration::from_secs(1) * done / RATE;
        if let Some(ahead) = due.checked_sub(begun.elapsed()) {
            thread::park_timeout(ahead);
        }
    }
}
