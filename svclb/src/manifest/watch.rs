//! Following a folder of manifests.

use std::{path::Path, time::Duration};

use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{debug, error, warn};

use super::{
    Folder, ManifestError, Report,
    events::Events,
    pending::{Look, Pending},
};
use crate::{
    condition::{self, Problem, Topic},
    source::Batch,
};

/// How long to wait after an event that may be one step of several.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often to look without an event: events are lost behind bind mounts and on file systems of other hosts.
const TICK: Duration = Duration::from_millis(500);
/// How many files to look at in one tick, which takes some milliseconds at most: events wait meanwhile.
const FILES_PER_TICK: usize = 1000;

/// Follows the folder `dir`: a channel, and the task that feeds it. The first batch holds all objects, each later
/// one what changed. The task ends when nobody listens any more.
///
/// A file that its writer has closed, or that got its name by a rename, is read at once, and nothing else is.
/// Other changes are told 20 ms later; those of which the kernel says nothing within a second, in a folder of more
/// than [`FILES_PER_TICK`] files after as many half seconds as there are such parts of it.
///
/// To be called within a runtime. That `dir` is not there is an error at the start and a line in the log
/// later: the last good objects stay in force until it is back.
pub fn watch(
    dir: &Path,
) -> Result<(Receiver<Batch>, impl Future<Output = ()> + Send + use<>), ManifestError> {
    // The watch comes before the first look: a change between the two must not be missed.
    let events = Events::of(dir);
    let folder = Folder::open(dir)?;
    // While the receiver is busy, changes gather in the kernel and are folded there.
    let (sender, receiver) = channel(1);
    Ok((receiver, follow(folder, events, sender)))
}

async fn follow(mut folder: Folder, mut events: Events, sender: Sender<Batch>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pending = Pending::default();
    pending.note_all();
    let mut told: Option<bool> = None;
    let mut due = Instant::now();
    loop {
        let mut is_tick = false;
        let mut look = pending.take();
        if look.is_empty() {
            let was_waiting = pending.is_waiting();
            tokio::select! {
                () = events.next(&mut pending) => {}
                () = sleep_until(due), if was_waiting => pending.ripen(),
                _ = ticks.tick() => is_tick = true,
                () = sender.closed() => return,
            }
            if !was_waiting {
                due = Instant::now() + DEBOUNCE;
            }
            if is_tick && events.renew() {
                pending.note_all();
            }
            look = pending.take();
        }
        if look.is_empty() && !is_tick {
            continue;
        }
        let work = spawn_blocking(move || {
            let report = perform(&mut folder, &look);
            (folder, report)
        });
        let Ok((back, report)) = work.await else {
            // The runtime is shutting down.
            return;
        };
        folder = back;
        log(&report);
        if report.effort.looked_at > 0 {
            tell(&folder);
        }
        let batch = report.batch;
        let is_first = told.is_none() && !folder.is_lost();
        if is_first || !batch.changes.is_empty() || told.is_some_and(|told| told != batch.is_partial) {
            told = Some(batch.is_partial);
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    }
}

fn perform(folder: &mut Folder, look: &Look) -> Report {
    if look.all {
        return folder.scan();
    }
    if look.is_empty() {
        return folder.patrol(FILES_PER_TICK);
    }
    let links: Vec<String> =
        if look.links { folder.links().map(ToOwned::to_owned).collect() } else { Vec::new() };
    folder.look_at(links.iter().chain(&look.files).map(String::as_str))
}

/// Tells which files are not in force as they are.
fn tell(folder: &Folder) {
    let faults = folder.faults().map(|(file, reason)| {
        let what = format!("a manifest cannot be read: {reason}");
        Problem::error(what, file, "mend the file; its last good version stays in force")
    });
    condition::tell(Topic::Source, faults);
}

fn log(report: &Report) {
    for error in &report.errors {
        if error.keeps_last_good() {
            error!("{error} (the last good version stays in force)");
        } else {
            error!("{error}");
        }
    }
    for warning in &report.warnings {
        warn!("{warning}");
    }
    let effort = &report.effort;
    if effort.read > 0 {
        let changes = report.batch.changes.len();
        debug!(effort.looked_at, effort.read, effort.parsed, effort.compared, changes, "manifests read");
    }
}

#[cfg(test)]
mod tests;
