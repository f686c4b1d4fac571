//! What is to be said about outages, and how often may be asked: seen at each call, below kube's watchers.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task,
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Uri};
use kube::client::Body;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Layer, Service};

use super::error::chain;
use crate::condition::{self, Problem, Topic};

/// What is known of the server from the calls so far.
pub(super) struct Contact {
    server: String,
    between_watches: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Paths whose last call failed.
    failing: BTreeSet<String>,
    /// When the first of them did.
    since: Option<Instant>,
    /// When the next watch of a path may begin.
    next_watch: BTreeMap<String, Instant>,
}

impl Contact {
    /// Nothing is known yet of the server at this address.
    pub(super) fn new(server: String, between_watches: Duration) -> Self {
        Self { server, between_watches, state: Mutex::default() }
    }

    /// When a watch that is asked for `now` may begin.
    fn turn(&self, path: &str, now: Instant) -> Instant {
        let mut state = self.lock();
        let turn = state.next_watch.get(path).copied().map_or(now, |next| next.max(now));
        state.next_watch.insert(path.to_owned(), turn + self.between_watches);
        turn
    }

    /// The server did not do what it is for. One line tells of an outage, however many calls fail in it.
    fn failed(&self, path: &str, reason: &str) {
        let mut state = self.lock();
        let is_first = state.failing.is_empty();
        state.failing.insert(path.to_owned());
        let what = format!("the API server does not answer: {path}: {reason}");
        let advice =
            "look at the network to it and at the agent's credentials; what is programmed stays meanwhile";
        condition::tell(Topic::ApiServer, [Problem::error(what, self.server.clone(), advice)]);
        if is_first {
            state.since = Some(Instant::now());
            tracing::warn!(
                "API server {}: {path}: {reason}; what is programmed stays, and it is asked again",
                self.server
            );
        }
    }

    /// The server has answered, though the answer may be a refusal.
    fn answered(&self, path: &str) {
        let mut state = self.lock();
        if state.failing.remove(path) && state.failing.is_empty() {
            condition::tell(Topic::ApiServer, []);
            let outage = state.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            tracing::info!("API server {}: answers again, after {} s", self.server, outage.as_secs());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a [`Contact`] in the way of each call.
pub(super) struct ContactLayer(pub(super) Arc<Contact>);

impl<S> Layer<S> for ContactLayer {
    type Service = ContactService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContactService { inner, contact: Arc::clone(&self.0) }
    }
}

/// A client that a [`Contact`] looks at.
pub(super) struct ContactService<S> {
    inner: S,
    contact: Arc<Contact>,
}

impl<S, B> Service<Request<Body>> for ContactService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // An event that cannot be written is nobody's outage.
        let is_read = request.method() == Method::GET;
        let path = request.uri().path().to_owned();
        let contact = Arc::clone(&self.contact);
        let turn = is_watch(request.uri()).then(|| contact.turn(&path, Instant::now()));
        if let Some(uri) = up_to_date(request.uri()) {
            *request.uri_mut() = uri;
        }
        let call = self.inner.call(request);
        Box::pin(async move {
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
            let answer = call.await;
            match &answer {
                _ if !is_read => {}
                Ok(response) if is_failure(response.status()) => {
                    contact.failed(&path, &format!("it answers {}", response.status()));
                }
                Ok(_) => contact.answered(&path),
                Err(error) => contact.failed(&path, &chain(error.as_ref())),
            }
            answer
        })
    }
}

/// Whether an answer is one of a server that cannot work now, or does not know us (any more).
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().into_iter().flat_map(|query| query.split('&')).any(|field| field == "watch=true")
}

/// The same watch, with a list that is at least as new as the question.
///
/// kube asks for streaming lists "of any version" (`resourceVersion=0`). A server that has lost its own storage may
/// answer that with a state from before what was told, which would take back changes that are in force. Without the
/// field the API means a consistent read.
fn up_to_date(uri: &Uri) -> Option<Uri> {
    let (path, query) = (uri.path(), uri.query()?);
    let fields: Vec<&str> = query.split('&').collect();
    if !fields.contains(&"sendInitialEvents=true") || !fields.contains(&"resourceVersion=0") {
        return None;
    }
    let kept: Vec<&str> = fields.into_iter().filter(|field| *field != "resourceVersion=0").collect();
    format!("{path}?{}", kept.join("&")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streamed_lists_of_any_version_are_asked_for_differently() {
        let table = [
            (
                "/api/v1/services?watch=true&sendInitialEvents=true&resourceVersion=0",
                Some("/api/v1/services?watch=true&sendInitialEvents=true"),
            ),
            ("/api/v1/services?watch=true&resourceVersion=0", None),
            ("/api/v1/services?watch=true&sendInitialEvents=true&resourceVersion=01", None),
            ("/api/v1/services", None),
        ];
        for (uri, expected) in table {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(up_to_date(&uri), expected.map(|text| text.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn watches_of_one_path_begin_apart() {
        let (apart, now) = (Duration::from_secs(1), Instant::now());
        let contact = Contact::new("a".into(), apart);
        assert_eq!(contact.turn("a", now), now);
        assert_eq!(contact.turn("b", now), now);
        assert_eq!(contact.turn("a", now), now + apart);
        assert_eq!(contact.turn("a", now), now + apart * 2);
        assert_eq!(contact.turn("a", now + apart * 9), now + apart * 9);
    }

    #[test]
    fn an_outage_ends_when_every_path_is_answered() {
        let contact = Contact::new("a".into(), Duration::ZERO);
        let is_out = || contact.lock().since.is_some();
        contact.answered("a");
        assert!(!is_out());
        contact.failed("a", "gone");
        contact.failed("b", "gone");
        contact.failed("a", "gone");
        contact.answered("a");
        assert!(is_out(), "b is still failing");
        contact.answered("b");
        assert!(!is_out());
    }
}
