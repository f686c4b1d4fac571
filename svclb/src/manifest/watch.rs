//! Following a folder of manifests.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchMask};
use tokio::{
    sync::watch::{Receiver, Sender, channel},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{debug, error, warn};

use super::{Folder, ManifestError, Report};
use crate::model::Objects;

/// How long to wait after an event, so that changes that belong together are read together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often to look without an event: events are lost when their queue overflows, behind bind mounts and on
/// file systems of other hosts.
const TICK: Duration = Duration::from_millis(500);

/// Reads the folder `dir` and returns the objects in it, complete from the start, with the task that keeps them
/// so: changes are published within a second. The task ends when nobody listens any more.
///
/// To be called within a runtime. That `dir` is not there is an error at the start and a line in the log
/// later: the last good objects stay in force until it is back.
pub fn watch(
    dir: &Path,
) -> Result<(Receiver<Arc<Objects>>, impl Future<Output = ()> + Send + use<>), ManifestError> {
    // The watch comes before the first look: a change between the two must not be missed.
    let events = Events::of(dir);
    let mut folder = Folder::open(dir)?;
    let mut report = folder.scan();
    if let Some(lost) = report.errors.iter().position(|error| matches!(error, ManifestError::Folder { .. })) {
        return Err(report.errors.swap_remove(lost));
    }
    log(&report);
    let (sender, receiver) = channel(Arc::clone(folder.objects()));
    Ok((receiver, follow(folder, events, sender)))
}

async fn follow(mut folder: Folder, mut events: Events, sender: Sender<Arc<Objects>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_stale = tokio::select! {
            () = events.next() => true,
            _ = ticks.tick() => {
                events.renew();
                folder.is_stale()
            }
            () = sender.closed() => return,
        };
        if !is_stale {
            continue;
        }
        sleep(DEBOUNCE).await;
        events.drain();
        let scan = spawn_blocking(move || {
            let report = folder.scan();
            (folder, report)
        });
        let Ok((scanned, report)) = scan.await else {
            // The runtime is shutting down.
            return;
        };
        folder = scanned;
        log(&report);
        if report.changed {
            sender.send_replace(Arc::clone(folder.objects()));
        }
    }
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
}

/// The kernel's word that something in a folder changed, if it can be had.
struct Events {
    dir: PathBuf,
    stream: Option<EventStream<[u8; 4096]>>,
}

impl Events {
    fn of(dir: &Path) -> Self {
        let stream = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 4096]));
        let stream = stream.inspect_err(|error| {
            warn!("{}: changes are found by looking twice a second, for inotify: {error}", dir.display());
        });
        let events = Self { dir: dir.to_owned(), stream: stream.ok() };
        events.renew();
        events
    }

    /// Watches the folder that has the name now. It is the same watch for as long as it is the same folder.
    fn renew(&self) {
        // No MODIFY: a file that is being written is read when it is closed.
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let Some(stream) = &self.stream else { return };
        if let Err(error) = stream.watches().add(&self.dir, mask) {
            debug!("{}: not watched: {error}", self.dir.display());
        }
    }

    /// Waits for an event; without a stream, for ever.
    async fn next(&mut self) {
        if let Some(stream) = &mut self.stream {
            match stream.next().await {
                Some(Ok(_)) => return,
                Some(Err(error)) => warn!("{}: no more events: {error}", self.dir.display()),
                None => {}
            }
            self.stream = None;
        }
        std::future::pending::<()>().await;
    }

    /// Takes the events that have come already.
    fn drain(&mut self) {
        while self.next().now_or_never().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    fn node(name: &str) -> String {
        format!("{{ apiVersion: v1, kind: Node, metadata: {{ name: {name} }} }}\n")
    }

    fn names(objects: &Objects) -> Vec<String> {
        objects.nodes().filter_map(|node| node.metadata.name.clone()).collect()
    }

    /// Waits until exactly `expected` is in force. The promise is a second; the rest is for a busy machine.
    async fn expect(receiver: &mut Receiver<Arc<Objects>>, expected: &[&str]) {
        let arrived =
            timeout(Duration::from_secs(5), receiver.wait_for(|objects| names(objects) == expected));
        assert!(arrived.await.is_ok(), "{expected:?} in time");
    }

    #[tokio::test]
    async fn changes_are_published_until_nobody_listens() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("folder");
        let file = path.join("a.yaml");
        fs::create_dir(&path).unwrap();
        fs::write(&file, node("a")).unwrap();
        let (mut receiver, task) = watch(&path).unwrap();
        assert_eq!(names(&receiver.borrow()), ["a"], "complete from the start");
        let task = tokio::spawn(task);

        fs::write(&file, node("b")).unwrap();
        expect(&mut receiver, &["b"]).await;
        fs::write(path.join(".new"), node("c")).unwrap();
        fs::rename(path.join(".new"), &file).unwrap();
        expect(&mut receiver, &["c"]).await;
        fs::write(&file, "]").unwrap();
        fs::write(path.join("b.yaml"), node("d")).unwrap();
        expect(&mut receiver, &["c", "d"]).await;

        fs::rename(&path, dir.path().join("away")).unwrap();
        sleep(Duration::from_millis(100)).await;
        assert_eq!(names(&receiver.borrow()), ["c", "d"], "a folder that vanished stays in force");
        fs::create_dir(&path).unwrap();
        fs::write(&file, node("e")).unwrap();
        expect(&mut receiver, &["e"]).await;

        drop(receiver);
        timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn without_events_the_ticks_find_changes() {
        let dir = TempDir::new().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (sender, mut receiver) = channel(Arc::default());
        tokio::spawn(follow(folder, Events { dir: dir.path().to_owned(), stream: None }, sender));
        fs::write(dir.path().join("a.yaml"), node("a")).unwrap();
        expect(&mut receiver, &["a"]).await;
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error() {
        let dir = TempDir::new().unwrap();
        assert!(matches!(watch(&dir.path().join("missing")), Err(ManifestError::Folder { .. })));
    }
}
