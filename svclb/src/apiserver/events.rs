//! What users are told through the API: Events about Services and about this node.
//!
//! Telling never waits: what the server does not take in time is dropped and counted, for the log has it as well.
//! The same reason for the same object within six minutes is one Event with a counter, by kube's recorder; the same
//! message in that time is not even sent again.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout},
};

use super::error::chain;
use crate::model::{Notice, ObjectKey};

/// What events are reported by.
const CONTROLLER: &str = "svclb";
/// What was being done; Events have a field for it, and svclb does but one thing.
const ACTION: &str = "Sync";
/// How many events may wait.
const BACKLOG: usize = 128;
/// How long one event may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long the same message about the same object is not said again.
const QUIET: Duration = Duration::from_mins(6);
/// How much of a message the API takes, in bytes.
const LONGEST: usize = 1024;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// Where events are told. Clones tell the same server.
#[derive(Clone)]
pub struct Events {
    node_name: String,
    sender: Option<mpsc::Sender<Message>>,
    dropped: Arc<AtomicU64>,
}

struct Message {
    regarding: ObjectReference,
    severity: Severity,
    reason: String,
    note: String,
}

impl Events {
    /// Events about this node and about Services, and the task that has to run for them to be sent. It ends when all
    /// clones are gone.
    pub fn new(client: Client, node_name: &str) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let dropped = Arc::new(AtomicU64::new(0));
        let reporter = Reporter { controller: CONTROLLER.into(), instance: Some(node_name.into()) };
        let task = send_all(Recorder::new(client, reporter), receiver, Arc::clone(&dropped));
        (Self { node_name: node_name.into(), sender: Some(sender), dropped }, task)
    }

    /// Events that nobody hears, for a source without an API.
    pub fn none() -> Self {
        Self { node_name: String::new(), sender: None, dropped: Arc::default() }
    }

    /// Tells something about a Service. `uid` is its `metadata.uid`, without which `kubectl describe` does not
    /// find the event.
    pub fn service(&self, key: &ObjectKey, uid: &str, severity: Severity, reason: &str, message: &str) {
        let regarding = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            namespace: Some(key.namespace.as_ref().into()),
            name: Some(key.name.as_ref().into()),
            uid: Some(uid.into()).filter(|uid: &String| !uid.is_empty()),
            ..ObjectReference::default()
        };
        self.tell(regarding, severity, reason, message);
    }

    /// Tells of a field that is ignored, contested or malformed, to whoever looks at its object.
    pub fn notice(&self, notice: &Notice) {
        let regarding = ObjectReference {
            api_version: Some(notice.kind.api_version().into()),
            kind: Some(notice.kind.as_str().into()),
            namespace: Some(notice.object.namespace.as_ref().into())
                .filter(|namespace: &String| !namespace.is_empty()),
            name: Some(notice.object.name.as_ref().into()),
            uid: notice.uid.clone(),
            ..ObjectReference::default()
        };
        let message = format!("{}: {}", notice.field, notice.message);
        self.tell(regarding, Severity::Warning, notice.reason.as_str(), &message);
    }

    /// Tells something about this node. An empty `uid` becomes the node's name, by which kubelet and kube-proxy
    /// tell of Nodes, and `kubectl describe node` looks for both.
    pub fn node(&self, uid: &str, severity: Severity, reason: &str, message: &str) {
        let regarding = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Node".into()),
            name: Some(self.node_name.clone()),
            uid: Some(if uid.is_empty() { self.node_name.clone() } else { uid.into() }),
            ..ObjectReference::default()
        };
        self.tell(regarding, severity, reason, message);
    }

    /// How many events were not sent: the server was too slow or away, or refused them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn tell(&self, regarding: ObjectReference, severity: Severity, reason: &str, message: &str) {
        let Some(sender) = &self.sender else { return };
        let note = cut(message, LONGEST).to_owned();
        let message = Message { regarding, severity, reason: reason.to_owned(), note };
        match sender.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The longest beginning of `text` of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

async fn send_all(recorder: Recorder, mut receiver: mpsc::Receiver<Message>, dropped: Arc<AtomicU64>) {
    let mut recently = Recently::default();
    let mut is_failing = false;
    while let Some(Message { regarding, severity, reason, note }) = receiver.recv().await {
        if !recently.is_new(&regarding, &reason, &note, Instant::now()) {
            continue;
        }
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason,
            note: Some(note),
            action: ACTION.into(),
            secondary: None,
        };
        let failure = match timeout(PATIENCE, recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_elapsed) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        if failure.is_some() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(reason) = failure.as_ref().filter(|_| !is_failing) {
            tracing::warn!("Events cannot be written to the API server: {reason}");
        }
        is_failing = failure.is_some();
    }
}

/// What was said lately.
#[derive(Default)]
struct Recently {
    said: HashMap<(String, String, String), Instant>,
}

impl Recently {
    fn is_new(&mut self, regarding: &ObjectReference, reason: &str, note: &str, now: Instant) -> bool {
        self.said.retain(|_, when| now.duration_since(*when) < QUIET);
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let ObjectReference { kind, namespace, name, .. } = regarding;
        let object = format!("{}/{}/{}", part(kind), part(namespace), part(name));
        let key = (object, reason.to_owned(), note.to_owned());
        if self.said.contains_key(&key) {
            return false;
        }
        self.said.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str) -> ObjectReference {
        ObjectReference { name: Some(name.into()), ..ObjectReference::default() }
    }

    #[test]
    fn the_same_is_said_once_in_a_while() {
        let (mut recently, now) = (Recently::default(), Instant::now());
        assert!(recently.is_new(&reference("a"), "R", "m", now));
        assert!(!recently.is_new(&reference("a"), "R", "m", now + QUIET / 2));
        assert!(recently.is_new(&reference("b"), "R", "m", now));
        assert!(recently.is_new(&reference("a"), "S", "m", now));
        assert!(recently.is_new(&reference("a"), "R", "n", now));
        assert!(recently.is_new(&reference("a"), "R", "m", now + QUIET));
        assert_eq!(recently.said.len(), 1, "what is old is forgotten");
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }

    #[test]
    fn nobody_hears_and_nobody_waits() {
        let none = Events::none();
        none.node("", Severity::Normal, "Starting", "");
        assert_eq!(none.dropped(), 0);
    }
}
