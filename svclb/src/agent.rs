//! The agent: one task that keeps the tables equal to what was asked for.
//!
//! ```text
//! manifests ─► objects ─► model ─► plan ─► tables      one writer, in this order:
//! rtnetlink ─► network ─► roles, addresses ─► hooks    tables before hooks
//! ```

mod devices;
mod error;
mod settings;
mod sync;

use std::time::Duration;

use nix::{sys::signal::Signal, unistd::getppid};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use self::sync::Syncer;
pub use self::{devices::Devices, error::RunError, settings::Settings};
use crate::{
    datapath::{Error, events, lock, probe, tables},
    manifest,
    model::Objects,
    netdev,
};

/// How long to wait before trying again what failed.
const RETRY: Duration = Duration::from_millis(500);

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
    let (mut batches, following) = manifest::watch(&settings.manifests)
        .map_err(|error| RunError::Config(format!("--manifests: {error}")))?;
    let mut network = netdev::watch().await.map_err(RunError::other)?;
    settings.pins.create()?;
    let _lock = lock::take(&settings.pins).await?;
    // An agent that was killed has left its word behind, which is not ours to keep.
    tables::disown(&settings.pins)?;
    let mut syncer = Syncer::new(&settings)?;

    let following = tokio::spawn(following);
    let pins = settings.pins.clone();
    let logging = tokio::spawn(async move {
        if let Err(error) = events::log(&pins).await {
            tracing::warn!("events are not logged: {error}");
        }
    });
    let mut objects = Objects::default();
    let mut is_complete = false;
    loop {
        let mut retry = false;
        // Before the first batch nothing is known of what is wanted, and the tables stay as they are.
        if is_complete {
            let seen = network.borrow_and_update().clone();
            retry = !syncer.sync(&objects, &seen).await;
        }
        tokio::select! {
            batch = batches.recv() => {
                let batch = batch.ok_or_else(|| RunError::other("manifests are not followed any more"))?;
                batch.changes.iter().for_each(|change| objects.apply(change));
                objects.set_partial(batch.is_partial);
                is_complete = true;
            }
            changed = network.changed() => changed.map_err(RunError::other)?,
            () = sleep(RETRY), if retry => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    following.abort();
    logging.abort();
    syncer.leave();
    tracing::info!("stopped; the datapath stays in place");
    Ok(())
}

/// Asks the kernel for SIGTERM when the parent ends, however it ends.
pub fn die_with_parent() -> Result<(), RunError> {
    let parent = getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).map_err(RunError::other)?;
    // It may have ended before the kernel was asked.
    if getppid() == parent { Ok(()) } else { Err(RunError::other("the parent process has ended")) }
}
