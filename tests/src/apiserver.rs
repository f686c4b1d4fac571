//! An API server for tests: list and watch of what a proxy reads, events that it writes, and every way to fail.
//!
//! It is written from the API's documentation and shares no code with svclb. Objects are plain JSON.
//!
//! | module | owns |
//! |---|---|
//! | [`resource`] | which kinds there are |
//! | [`selector`] | which objects a call asks for |
//! | [`store`] | objects, versions, and what has happened |
//! | [`fault`] | what goes wrong with which call |
//! | [`call`] | what was asked |
//! | `answer` | answers to calls |
//! | `pipe` | bytes on their way, or as far as they come |
//!
//! The server runs on a thread of its own, so that tests with and without a runtime can use it.

mod answer;
pub mod call;
pub mod fault;
mod pipe;
pub mod resource;
pub mod selector;
pub mod store;

use std::{
    collections::BTreeSet,
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{Router, serve::ListenerExt as _};
use serde_json::Value;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use self::{
    call::{Call, Verb},
    fault::{Fault, Interruption, Plan},
    store::Store,
};

/// How long a test waits for a call.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server tells that a version has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// By an event within a watch that begins well.
    #[default]
    Event,
    /// By the status of the call.
    Status,
}

/// What the server knows and is to do.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Value>,
    pub(crate) faults: Vec<Plan>,
    pub(crate) held: BTreeSet<&'static str>,
    pub(crate) has_no_streams: bool,
    pub(crate) expiry: Expiry,
    /// How often watches were interrupted, and how the last time.
    pub(crate) interruption: (u64, Option<Interruption>),
    /// How often bookmarks were sent.
    pub(crate) bookmarks: u64,
    /// When a streamed list was last sent to its end.
    pub(crate) last_list: Option<Instant>,
}

/// The state, and a pulse whenever it changes.
pub(crate) struct Shared {
    state: Mutex<State>,
    pulse: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.pulse.send_modify(|beat| *beat += 1);
        result
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.pulse.subscribe()
    }
}

/// The objects of a server, for other threads.
#[derive(Clone)]
pub struct Objects(Arc<Shared>);

impl Objects {
    /// Creates or replaces all of them at once, and forgets all that happened before the last `kept` changes, as
    /// compaction does.
    pub fn apply_all(&self, objects: impl IntoIterator<Item = Value>, kept: usize) {
        self.0.with(|state| {
            objects.into_iter().for_each(|object| state.store.apply(object));
            state.store.compact(kept);
        });
    }
}

/// A server. What it knows outlives its being stopped.
pub struct ApiServer {
    shared: Arc<Shared>,
    running: Option<Running>,
    address: SocketAddr,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl ApiServer {
    /// Serves at a loopback address of its own.
    pub fn start() -> anyhow::Result<Self> {
        Self::serve(TcpListener::bind("127.0.0.1:0")?)
    }

    /// Serves those who connect to `listener`, which decides the network namespace as well.
    pub fn serve(listener: TcpListener) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), pulse: watch::Sender::new(0) });
        let address = listener.local_addr()?;
        let running = Some(run(Arc::clone(&shared), listener)?);
        Ok(Self { shared, running, address })
    }

    /// Stops: connections break, new ones are refused.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(Running { stop, thread }) = self.running.take() else { return Ok(()) };
        // It may have ended by itself, which `join` tells.
        stop.send(()).ok();
        thread
            .join()
            .map_err(|_panic| anyhow::anyhow!("the API server has panicked"))?
            .context("the API server")
    }

    /// Goes on at the address from before.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.resume_on(TcpListener::bind(self.address)?)
    }

    /// Goes on with this listener.
    pub fn resume_on(&mut self, listener: TcpListener) -> anyhow::Result<()> {
        self.stop()?;
        self.running = Some(run(Arc::clone(&self.shared), listener)?);
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig that leads here.
    pub fn write_kubeconfig(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{ name: test, cluster: {{ server: \"http://{}\" }} }}]\n\
             users: [{{ name: test, user: {{ token: test }} }}]\n\
             contexts: [{{ name: test, context: {{ cluster: test, user: test }} }}]\n",
            self.address,
        );
        Ok(fs::write(path, text)?)
    }

    /// Its objects, whether it runs or not.
    pub fn objects(&self) -> Objects {
        Objects(Arc::clone(&self.shared))
    }

    /// Creates an object or replaces it.
    pub fn apply(&self, object: Value) {
        self.shared.with(|state| state.store.apply(object));
    }

    /// Creates or replaces all of them at once.
    pub fn apply_all(&self, objects: impl IntoIterator<Item = Value>) {
        self.shared.with(|state| objects.into_iter().for_each(|object| state.store.apply(object)));
    }

    /// Forgets what has happened so far, of which nobody has been told.
    pub fn forget(&self) {
        self.shared.lock().store.forget();
    }

    /// When a list was last complete, of whatever kind.
    pub fn last_list(&self) -> Option<Instant> {
        self.shared.lock().last_list
    }

    /// Deletes an object; nothing happens if there is none.
    pub fn delete(&self, plural: &'static str, namespace: &str, name: &str) {
        self.shared.with(|state| state.store.delete(plural, namespace, name));
    }

    /// All objects of a kind that `labels` and `fields` select.
    pub fn select(&self, plural: &'static str, labels: &str, fields: &str) -> anyhow::Result<Vec<Value>> {
        let selector = selector::Selector::parse(labels, fields)?;
        Ok(self.shared.lock().store.list(plural, &selector))
    }

    /// Lets the next `times` such calls go wrong.
    pub fn inject(&self, plural: &'static str, verb: Verb, fault: Fault, times: usize) {
        self.shared.with(|state| state.faults.push(Plan { plural, verb, fault, times }));
    }

    /// Forgets all faults that have not happened yet.
    pub fn heal(&self) {
        self.shared.with(|state| state.faults.clear());
    }

    /// Lets calls for a kind wait until [`release`](Self::release).
    pub fn hold(&self, plural: &'static str) {
        self.shared.with(|state| state.held.insert(plural));
    }

    /// Answers what was held.
    pub fn release(&self) {
        self.shared.with(|state| state.held.clear());
    }

    /// Ends the watches that are open.
    pub fn interrupt(&self, how: Interruption) {
        self.shared.with(|state| state.interruption = (state.interruption.0 + 1, Some(how)));
    }

    /// Sends a bookmark in each watch that is open and wants them.
    pub fn bookmark(&self) {
        self.shared.with(|state| state.bookmarks += 1);
    }

    /// Forgets what has happened so far: only the present can still be listed, and watched from.
    pub fn expire(&self, expiry: Expiry) {
        self.shared.with(|state| {
            state.expiry = expiry;
            state.store.forget();
        });
    }

    /// Refuses streamed lists, as servers without the feature do.
    pub fn disable_streams(&self) {
        self.shared.with(|state| state.has_no_streams = true);
    }

    /// What was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// The Events that were written, each in its last state.
    pub fn events(&self) -> Vec<Value> {
        self.shared.lock().events.clone()
    }

    /// Waits until `look` finds something in the calls and events.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&[Call], &[Value]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut pulse = self.shared.subscribe();
        let waiting = async {
            loop {
                pulse.mark_unchanged();
                let found = {
                    let state = self.shared.lock();
                    look(&state.calls, &state.events)
                };
                if let Some(found) = found {
                    return Ok(found);
                }
                pulse.changed().await?;
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("{what}: not within {PATIENCE:?}"))?
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A test that has ended does not care how its server does.
        self.stop().ok();
    }
}

fn run(shared: Arc<Shared>, listener: TcpListener) -> anyhow::Result<Running> {
    listener.set_nonblocking(true)?;
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        runtime.block_on(async {
            // As Go's servers do. Else an event waits for the client's word about the one before, which may take 40 ms.
            let listener = tokio::net::TcpListener::from_std(listener)?
                .tap_io(|connection| drop(connection.set_nodelay(true)));
            let router = Router::new().fallback(move |request| answer::answer(Arc::clone(&shared), request));
            tokio::select! {
                ended = axum::serve(listener, router) => ended,
                _ = stopped => Ok(()),
            }
        })
        // The connections end with the runtime.
    };
    let thread = std::thread::Builder::new().name("apiserver".into()).spawn(body)?;
    Ok(Running { stop, thread })
}
