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
    /// For how long it is kept when nobody asks.
    keep: Duration,
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
        Self { look: Arc::new(look), fresh, keep: KEEP, state: Arc::default() }
    }

    /// What `render` makes of the Services of now.
    pub(super) async fn services<T: Send + 'static>(
        &self,
        render: impl FnOnce(&Snapshot) -> T + Send + 'static,
    ) -> Result<Result<T, String>, JoinError> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let Self { look, fresh, keep, state: shared } = self.clone();
        // The lock goes along: whoever asks and does not wait has nobody look beside the others.
        spawn_blocking(move || {
            let last = match state.last.take().filter(|last| last.at.elapsed() < keep) {
                Some(last) if last.at.elapsed() < fresh => last,
                last => {
                    let reading = look.look()?;
                    let before = last.as_deref().map(Counters::of_snapshot);
                    drop(last);
                    Arc::new(Snapshot::between(before.as_ref(), reading))
                }
            };
            let rendered = render(&last);
            state.last = Some(last);
            state.asked = Some(Instant::now());
            if !state.is_kept {
                state.is_kept = true;
                tokio::spawn(forget(shared, keep));
            }
            Ok(rendered)
        })
        .await
    }

    /// What `svclb status -o json` tells.
    pub(super) async fn status(&self) -> Result<Result<String, String>, JoinError> {
        // Not beside another look.
        let state = Arc::clone(&self.state).lock_owned().await;
        let look = Arc::clone(&self.look);
        spawn_blocking(move || {
            let status = look.status();
            drop(state);
            status
        })
        .await
    }
}

/// Forgets the last look when nobody has asked for a while.
async fn forget(state: Arc<Mutex<State>>, keep: Duration) {
    loop {
        sleep(keep).await;
        let mut state = state.lock().await;
        if state.asked.is_none_or(|asked| asked.elapsed() >= keep) {
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

impl Live {
    /// Whether anything is kept.
    #[cfg(test)]
    async fn keeps_something(&self) -> bool {
        self.state.lock().await.last.is_some()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, task::Poll};

    use futures::poll;

    use super::*;

    struct Empty;

    impl Look for Empty {
        fn look(&self) -> Result<Reading, String> {
            let (ports, drops) = (Vec::new(), Vec::new());
            Ok(Reading { at: Instant::now(), synced: true, agent: None, ports, drops })
        }

        fn status(&self) -> Result<String, String> {
            Ok("{}".into())
        }
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_forgotten() {
        let live = Live { keep: Duration::from_millis(1), ..Live::new(Empty) };
        for _ in 0..2 {
            assert_eq!(live.services(|snapshot| snapshot.services.len()).await.unwrap(), Ok(0));
            // The task that forgets is there until it has.
            while live.keeps_something().await {
                tokio::task::yield_now().await;
            }
        }
        let live = Live::new(Empty);
        live.services(|_| ()).await.unwrap().unwrap();
        assert!(live.keeps_something().await);
    }

    #[tokio::test]
    async fn who_does_not_wait_is_waited_for() {
        let live = Live::new(Empty);
        let (go, wait) = mpsc::channel::<()>();
        let mut first = Box::pin(live.services(move |_| wait.recv().ok()));
        assert!(matches!(poll!(&mut first), Poll::Pending));
        drop(first);
        let mut second = Box::pin(live.services(|_| ()));
        assert!(matches!(poll!(&mut second), Poll::Pending));
        assert!(live.state.try_lock().is_err(), "the first one is still at it");
        go.send(()).unwrap();
        assert_eq!(second.await.unwrap(), Ok(()));
    }
}
