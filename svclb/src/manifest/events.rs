//! The kernel's word that something in a folder changed, if it can be had.

use std::path::{Path, PathBuf};

use futures::{FutureExt, StreamExt};
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
use tracing::{debug, warn};

use super::pending::Pending;

/// Room for events that are fetched at once, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// The most events that are folded before they are acted on.
const MOST: usize = 1 << 14;

/// The events of a folder.
pub(super) struct Events {
    dir: PathBuf,
    stream: Option<EventStream<Vec<u8>>>,
    watch: Option<WatchDescriptor>,
}

impl Events {
    /// Begins to watch `dir`.
    pub(super) fn of(dir: &Path) -> Self {
        let stream = Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER_BYTES]));
        let stream = stream.inspect_err(|error| {
            warn!("{}: changes are found by looking twice a second, for inotify: {error}", dir.display());
        });
        let mut events = Self { dir: dir.to_owned(), stream: stream.ok(), watch: None };
        events.renew();
        events
    }

    /// No events at all.
    #[cfg(test)]
    pub(super) fn none(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), stream: None, watch: None }
    }

    /// Watches the folder that has the name now; `true` if that is another than before.
    pub(super) fn renew(&mut self) -> bool {
        // No MODIFY: a file that is being written is read when it is closed.
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let Some(stream) = &self.stream else { return false };
        let mut watches = stream.watches();
        let watch = match watches.add(&self.dir, mask) {
            Ok(watch) => watch,
            Err(error) => {
                debug!("{}: not watched: {error}", self.dir.display());
                return false;
            }
        };
        if self.watch.as_ref() == Some(&watch) {
            return false;
        }
        // The folder that had the name may live on elsewhere, and is none of ours. If it does not, the kernel
        // has dropped the watch already.
        if let Some(Err(error)) = self.watch.replace(watch).map(|old| watches.remove(old)) {
            debug!("{}: the watch before: {error}", self.dir.display());
        }
        true
    }

    /// Waits for events and notes those that have come; without a stream, for ever.
    pub(super) async fn next(&mut self, pending: &mut Pending) {
        self.one(pending).await;
        for _ in 1..MOST {
            if self.one(pending).now_or_never().is_none() {
                return;
            }
        }
    }

    async fn one(&mut self, pending: &mut Pending) {
        if let Some(stream) = &mut self.stream {
            match stream.next().await {
                Some(Ok(event)) => {
                    let is_overflow = event.mask.contains(EventMask::Q_OVERFLOW);
                    let name = event.name.as_ref().and_then(|name| name.to_str());
                    // A name that is no text is no manifest's.
                    let is_ours =
                        event.name.is_some() == name.is_some() && self.watch.as_ref() == Some(&event.wd);
                    if is_overflow || is_ours {
                        pending.note(event.mask, event.cookie, name);
                    }
                    return;
                }
                Some(Err(error)) => warn!("{}: no more events: {error}", self.dir.display()),
                None => {}
            }
            self.stream = None;
        }
        std::future::pending::<()>().await;
    }
}
