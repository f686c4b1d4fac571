//! What happens now, for many who ask at once.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
    time::sleep,
};

use crate::{
    datapath::pins::Pins,
    report,
    sys::heap,
    usage::{Counters, Reading, Snapshot},
};

/// How old what is told may be.
const FRESH: Duration = Duration::from_secs(1);
/// For how long it is kept when nobody asks: it is as large as the cluster.
const KEEP: Duration = Duration::from_secs(20);

/// Looks at the tables, by handles of its own: it is called on another thread than the agent's.
pub trait Look: Send + Sync + 'static {
    /// The Services of now, or why they cannot be had, in a line.
    fn look(&self) -> Result<Reading, String>;
    /// What `svclb status -o json` tells.
    fn status(&self) -> Result<String, String>;
}

/// Looks at the pins, as every report does.
#[derive(Debug)]
pub struct Pinned(pub Pins);

impl Look for Pinned {
    fn look(&self) -> Result<Reading, String> {
        Reading::of(&self.0).map_err(|error| error.to_string())
    }

    fn status(&self) -> Result<String, String> {
        report::status_json(&self.0).map_err(|error| error.to_string())
    }
}

/// The last look. One at a time is asked for and rendered, so a crowd takes a thread and the memory of two looks.
#[derive(Clone)]
pub(super) struct Live {
    look: Arc<dyn Look>,
    /// How old what is told may be.
    fresh: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last: Option<Arc<Snapshot>>,
    asked: Option<Instant>,
    /// Whether somebody is there to forget it.
    is_kept: bool,
}

impl Live {
    pub(super) fn new(look: impl Look) -> Self {
        Self::with(look, FRESH)
    }

    pub(super) fn with(look: impl Look, fresh: Duration) -> Self {
        Self { look: Arc::new(look), fresh, state: Arc::default() }
    }

    /// What `render` makes of the Services of now.
    pub(super) async fn services<T: Send + 'static>(
        &self,
        render: impl FnOnce(&Snapshot) -> T + Send + 'static,
    ) -> Result<Result<T, String>, JoinError> {
        let mut state = self.state.lock().await;
        let (look, fresh, last) = (Arc::clone(&self.look), self.fresh, state.last.take());
        let (last, rendered) = spawn_blocking(move || {
            let last = match last.filter(|last| last.at.elapsed() < KEEP) {
                Some(last) if last.at.elapsed() < fresh => Ok(last),
                last => look.look().map(|reading| {
                    let before = last.as_deref().map(Counters::of_snapshot);
                    drop(last);
                    Arc::new(Snapshot::between(before.as_ref(), reading))
                }),
            };
            match last {
                Ok(last) => {
                    let rendered = render(&last);
                    (Some(last), Ok(rendered))
                }
                Err(error) => (None, Err(error)),
            }
        })
        .await?;
        state.last = last;
        state.asked = Some(Instant::now());
        if !state.is_kept {
            state.is_kept = true;
            tokio::spawn(forget(Arc::clone(&self.state)));
        }
        Ok(rendered)
    }

    /// What `svclb status -o json` tells.
    pub(super) async fn status(&self) -> Result<Result<String, String>, JoinError> {
        // Not beside another look.
        let state = self.state.lock().await;
        let look = Arc::clone(&self.look);
        let status = spawn_blocking(move || look.status()).await;
        drop(state);
        status
    }
}

/// Forgets the last look when nobody has asked for a while.
async fn forget(state: Arc<Mutex<State>>) {
    loop {
        sleep(KEEP).await;
        let mut state = state.lock().await;
        if state.asked.is_none_or(|asked| asked.elapsed() >= KEEP) {
            let last = state.last.take();
            state.is_kept = false;
            drop(state);
            drop(spawn_blocking(move || {
                drop(last);
                heap::trim();
            }));
            return;
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
