//! Endpoints of a Service that come and go without pause, but for one.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{
    layout::Machine,
    manifest::{Service, State},
    world::World,
};

/// Whose endpoints change, and how.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// The Service's name.
    pub name: &'static str,
    /// What its addresses end with.
    pub number: u8,
    /// The endpoint that is ready all the time.
    pub always: Machine,
    /// Endpoints that come, go, terminate and come again. They serve all the time, so whoever is sent to them is answered.
    pub others: &'static [Machine],
    /// Changes a second at most; 0 is as many as can be written.
    pub rate: u32,
}

/// A churn that has begun; it ends when it is dropped, if not before.
pub struct Churning {
    changes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Churn {
    /// Some endpoints beside the one that stays: of the others any, in any state, and a few that nobody has ever heard of
    /// and that terminate, so that nobody is sent to them.
    fn service(&self) -> Service {
        let states = [State::Ready, State::Draining, State::Terminating, State::NotReady];
        let service = Service::new(self.name, self.number, &[self.always]);
        let service =
            self.others.iter().fold(service, |service, pod| match fastrand::usize(..=states.len()) {
                at if at < states.len() => service.endpoint(*pod, states[at]),
                _ => service,
            });
        (0..fastrand::u8(..4)).fold(service, |service, _| service.endpoint(stranger(), State::Draining))
    }

    /// Begins to write manifests, at most `bound` of them.
    pub fn start(self, world: &World, bound: u64) -> anyhow::Result<Churning> {
        let (changes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&changes), Arc::clone(&stop));
        let aside = world.path(&format!("aside-{}", self.name));
        let file = world.manifests().join(format!("{}.yaml", self.name));
        let thread = thread::Builder::new().name("churn".into()).spawn(move || {
            let began = Instant::now();
            while !end.load(Ordering::Relaxed) {
                let done = count.load(Ordering::Relaxed);
                if done >= bound {
                    break;
                }
                self.write(&aside, &file)?;
                count.store(done + 1, Ordering::Relaxed);
                // Ahead of its rate it waits, but never for an end that has come.
                let due = done.saturating_mul(1_000_000).checked_div(self.rate.into()).unwrap_or(0);
                if let Some(ahead) = Duration::from_micros(due).checked_sub(began.elapsed()) {
                    thread::park_timeout(ahead);
                }
            }
            // What it leaves is the same each time.
            write(&aside, &file, &Service::new(self.name, self.number, &[self.always]))
        })?;
        Ok(Churning { changes, stop, thread: Some(thread) })
    }

    fn write(&self, aside: &PathBuf, file: &PathBuf) -> anyhow::Result<()> {
        write(aside, file, &self.service())
    }
}

fn write(aside: &PathBuf, file: &PathBuf, service: &Service) -> anyhow::Result<()> {
    fs::write(aside, service.yaml())?;
    fs::rename(aside, file).context("cannot publish a manifest")
}

/// An endpoint at an address that nobody has.
fn stranger() -> Machine {
    let [high, low] = fastrand::u16(1..).to_be_bytes();
    Machine {
        name: "stranger",
        v4: Ipv4Addr::new(10, 245, high, low),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x245, 0, 0, 0, high.into(), low.into()),
    }
}

impl Churning {
    /// How many changes have been written.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Whether all of them have been written, or it has failed.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all changes have been written; tells how many.
    pub fn finish(mut self) -> anyhow::Result<u64> {
        self.join()?;
        Ok(self.changes())
    }

    /// Ends it; tells how many changes have been written.
    pub fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.iter().for_each(|thread| thread.thread().unpark());
        self.finish()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.map_err(|_panic| anyhow!("the churn panicked"))?
    }
}

impl Drop for Churning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.iter().for_each(|thread| thread.thread().unpark());
        // Who wants to know has asked.
        self.join().ok();
    }
}
