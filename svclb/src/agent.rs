//! The agent: one task that keeps the tables equal to what was asked for.
//!
//! ```text
//! manifests ──┐
//! API server ─┴► batches ─► model ─► plan ─► tables       one writer, in this order:
//! rtnetlink ───► network ─► roles, addresses ─► hooks     tables before hooks
//!                                  every pass ─► health, metrics, Events
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `settings`, `devices` | what the operator asked for |
//! | `inputs` | the source and the Events of the run |
//! | `heard` | what the source tells before the programs are loaded |
//! | `services` | the model, the plan and the tables of Services |
//! | `opt_outs` | pods whose sockets are left alone |
//! | `stranded` | connected sockets whose backend is gone |
//! | `loopback` | whether the loopback device carries programs |
//! | `sync` | one pass: all of these, addresses, ranges, hooks |
//! | `self_probe` | whether packets and calls still get to the programs |
//! | `servers` | health, metrics and Events of a pass |
//! | `expiry` | forgetting what is over |
//! | `collect` | what a scrape reads from the pins |
//! | `recount` | the flows that backends are said to have |
//! | `ways` | telling the programs of changed routes |
//! | `told` | lines that are told once |

mod chores;
mod collect;
mod culprits;
mod detect;
mod devices;
mod error;
mod expiry;
mod few;
mod heard;
mod inputs;
mod loopback;
mod opt_outs;
mod recount;
mod self_probe;
mod servers;
mod services;
mod settings;
mod stranded;
mod sync;
mod told;
mod ways;

use std::{
    mem,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::getppid};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{chores::Chores, expiry::Expiry, heard::Heard, inputs::Inputs, servers::Servers, sync::Syncer};
pub use self::{devices::Devices, error::RunError, settings::Settings};
use crate::{
    config,
    datapath::{Error, carry, lock, probe, tables},
    explain::Questions,
    netdev,
    sys::heap,
    sysctl,
};

/// How long to wait before trying again what failed.
const RETRY: Duration = Duration::from_millis(500);
/// How long to wait before trying again to open a health check port.
const PORT_RETRY: Duration = Duration::from_secs(5);
/// So many changes at once leave memory behind that is worth being given back.
const MANY: usize = 1000;
/// How long tasks may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT, which leave the datapath in place.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(RunError::Config("svclb run needs root, to load programs and to attach them".into()));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::other)?;
    if let Some(missing) = probe::missing() {
        return Err(Error::Kernel(format!("{} (Linux {} has them)", missing.what, missing.since)).into());
    }
    // Of what others have pinned nothing changes before it is sure that it can be used.
    carry::check(&settings.pins, &settings.capacities())?;
    prepare_host(&settings)?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let Inputs { mut batches, events } = Inputs::open(&settings, &tasks).await?;
    let mut network = netdev::watch().await.map_err(RunError::other)?;
    for line in settings.lacks_room(&network.borrow()) {
        tracing::warn!("{line}");
    }
    settings.pins.create()?;
    let _lock = lock::take(&settings.pins).await?;
    // An agent that was killed has left its word behind, which is not ours to keep.
    tables::disown(&settings.pins)?;
    // The verifier looks at the programs for seconds, and the lists come meanwhile.
    let mut loading = spawn_blocking({
        let settings = settings.clone();
        move || Syncer::new(&settings)
    });
    let mut heard = Heard::new(settings.model.clone());
    let mut syncer = loop {
        tokio::select! {
            loaded = &mut loading => break loaded.map_err(RunError::other)??,
            batch = batches.recv(), if heard.wants_more() => heard.take(batch)?,
        }
    };
    let (questions, mut asked) = Questions::new();
    let mut servers = Servers::start(&settings, events, questions, &tasks, &stop)?;
    let _expiry = Expiry::start(&settings.pins, settings.config.flow_timeouts.0, servers.metrics().clone())
        .map_err(RunError::other)?;
    let chores = Chores::start(&settings, &network);
    ways::start(&settings.pins)?;
    let rewritten = rewritten(settings.file.as_ref());
    tokio::pin!(rewritten);

    let Heard { model, last, services, slices } = heard;
    syncer.begin_with(model);
    servers.count(services, slices);
    if let Some(batch) = last {
        servers.queued(&batch);
        syncer.take(batch);
    }
    let mut has_excess = false;
    let ended = 'passes: loop {
        let seen = network.borrow_and_update().clone();
        let since = Instant::now();
        let pass = syncer.sync(&seen).await;
        servers.passed(&pass, &syncer, since).await;
        syncer.tell(&seen);
        // A plan of everything follows the first list of all objects, and failures; and each change, while the source
        // does not know everything.
        let is_full = pass.written.as_ref().is_some_and(|written| written.is_full) && !syncer.is_partial();
        if mem::take(&mut has_excess) || is_full && !pass.is_to_be_repeated {
            syncer.compact();
            heap::trim();
        }
        // Who asks what is known causes no pass.
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => {
                        servers.queued(&batch);
                        has_excess = batch.changes.len() >= MANY;
                        syncer.take(batch);
                    }
                    None => break 'passes Err(RunError::other("the source of Services has ended")),
                },
                changed = network.changed() => if let Err(error) = changed {
                    break 'passes Err(RunError::other(error));
                },
                () = sleep(RETRY), if pass.is_to_be_repeated => {}
                () = syncer.pods_changed() => {}
                () = sleep(PORT_RETRY), if servers.has_closed_ports() => {}
                Some(question) = asked.recv() => {
                    question.answer(|service| syncer.answer(service));
                    continue;
                }
                () = chores.lost() => syncer.doubt_hooks(),
                () = &mut rewritten => {
                    break 'passes Err(RunError::other("the file of --config has changed: start again"));
                }
                _ = terminate.recv() => break 'passes Ok(()),
                _ = interrupt.recv() => break 'passes Ok(()),
            }
            break;
        }
    };
    drop(chores);
    stop.cancel();
    drop((batches, servers));
    tasks.close();
    // Whoever does not end by then ends with the process.
    drop(tokio::time::timeout(FAREWELL, tasks.wait()).await);
    syncer.leave();
    tracing::info!("stopped; the datapath stays in place");
    ended
}

/// What the configuration asks of the host besides the datapath.
fn prepare_host(settings: &Settings) -> Result<(), RunError> {
    for line in sysctl::set_conntrack(&settings.config.conntrack).map_err(RunError::other)? {
        tracing::info!("{line}");
    }
    match settings.config.oom_score_adj {
        Some(score) => sysctl::set_oom_score_adj(score).map_err(RunError::other),
        None => Ok(()),
    }
}

/// Resolves when the file of `--config` says something else than when it was read, as kube-proxy's does.
async fn rewritten(file: Option<&config::File>) {
    let Some(file) = file else { return std::future::pending().await };
    let mut file = file.clone();
    loop {
        file.changed().await;
        match file.renewed() {
            Ok(()) => return,
            // What works is not given up for what does not.
            Err(error) => tracing::error!("{error} (the agent goes on with what it has read before)"),
        }
        file = file.refreshed();
    }
}

/// Asks the kernel for SIGTERM when the parent ends, however it ends.
pub fn die_with_parent() -> Result<(), RunError> {
    let parent = getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).map_err(RunError::other)?;
    // It may have ended before the kernel was asked.
    if getppid() == parent { Ok(()) } else { Err(RunError::other("the parent process has ended")) }
}
