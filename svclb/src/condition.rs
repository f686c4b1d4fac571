//! What is wrong on this node, as far as the agent knows: one board for the process, which whoever finds something out
//! writes on, and which is told to other processes ([`crate::datapath::account`]) and in metrics.
//!
//! Each writer has a [`Topic`] of its own and tells all that holds; what it does not tell any more is over.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Some Service does not work as it should, or soon will not.
    Error,
    /// Something that one should know of.
    Warning,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a few words and then the details.
    pub what: String,
    /// The device, table, object or address.
    #[serde(rename = "where")]
    pub place: String,
    /// Since when, as far as anybody saw (RFC 3339); none is: found at this look.
    pub since: Option<String>,
    /// What to do about it.
    #[serde(rename = "do")]
    pub advice: String,
}

impl Problem {
    /// A problem at `place`.
    pub fn new(
        severity: Severity,
        what: impl Into<String>,
        place: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, what: what.into(), place: place.into(), since: None, advice: advice.into() }
    }

    /// One that keeps Services from working.
    pub fn error(what: impl Into<String>, place: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Error, what, place, advice)
    }

    /// One that does not.
    pub fn warning(what: impl Into<String>, place: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, place, advice)
    }
}

/// What a problem is about: who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The API server.
    ApiServer,
    /// The hooks at sockets.
    Sockets,
    /// A pass over tables and hooks that failed.
    Pass,
    /// Devices that refuse programs.
    Devices,
    /// Services without room.
    Room,
    /// Fields of objects that cannot be honoured.
    Objects,
    /// Files of manifests that cannot be read.
    Source,
    /// Objects that have never been readable.
    Unread,
    /// Ports for health and metrics, of this field of the configuration.
    Port(&'static str),
    /// Health check ports of Services.
    HealthPorts,
    /// An older agent's programs.
    Succession,
    /// The self-probe.
    Probe,
}

/// What a self-probe came to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Probed {
    /// The device, or `sockets`.
    pub path: String,
    /// `IPv4` or `IPv6`.
    pub ip_family: String,
    /// Whether the packet, or the call, was translated.
    pub ok: bool,
    /// From sending to the count of the programs.
    pub micros: u64,
    /// When (RFC 3339).
    pub at: String,
    /// How many there have been, and how many of them failed.
    pub runs: u64,
    /// See there.
    pub failures: u64,
}

/// What the agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The last self-probe of each path; empty where they are off, or until the first.
    pub probes: Vec<Probed>,
    /// Flows that another proxy has set up and that are not over.
    pub inherited: usize,
}

/// So much of one topic is told.
pub const MOST: usize = 12;

#[derive(Debug, Default)]
struct Board {
    problems: BTreeMap<Topic, Vec<Problem>>,
    probes: Vec<Probed>,
    inherited: usize,
}

static BOARD: LazyLock<Mutex<Board>> = LazyLock::new(Mutex::default);
static CHANGED: Notify = Notify::const_new();

fn board() -> MutexGuard<'static, Board> {
    // Whoever panicked has left whole values.
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells all that holds of a topic. What held at the same place before holds since then.
pub fn tell(topic: Topic, problems: impl IntoIterator<Item = Problem>) {
    let mut board = board();
    let known = board.problems.get(&topic).map(Vec::as_slice).unwrap_or_default();
    let now = renewed(known, problems, &now());
    if known != now {
        board.problems.insert(topic, now);
        CHANGED.notify_one();
    }
}

/// Tells what the self-probes came to.
pub fn tell_probes(probes: Vec<Probed>) {
    board().probes = probes;
    CHANGED.notify_one();
}

/// Tells how many flows another proxy has set up.
pub fn tell_inherited(flows: usize) {
    board().inherited = flows;
    CHANGED.notify_one();
}

/// All that holds.
pub fn account() -> Account {
    let board = board();
    Account {
        problems: board.problems.values().flatten().cloned().collect(),
        probes: board.probes.clone(),
        inherited: board.inherited,
    }
}

/// Resolves when something is different.
pub async fn changed() {
    CHANGED.notified().await;
}

/// This second (RFC 3339).
pub fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// The problems of now, with the times of those that were known.
fn renewed(known: &[Problem], problems: impl IntoIterator<Item = Problem>, now: &str) -> Vec<Problem> {
    let since = |problem: &Problem| {
        let before = known
            .iter()
            .find(|known| known.place == problem.place && subject(&known.what) == subject(&problem.what));
        before.map_or_else(|| Some(now.to_owned()), |known| known.since.clone())
    };
    let mut all = problems.into_iter();
    let mut told: Vec<_> =
        all.by_ref().take(MOST).map(|problem| Problem { since: since(&problem), ..problem }).collect();
    if let Some(last) = told.last_mut().filter(|_| all.next().is_some()) {
        last.what += " (and more like it: see the log)";
    }
    told
}

/// What is wrong, without the details, which may be others each time.
fn subject(what: &str) -> &str {
    what.split(": ").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(what: &str, place: &str) -> Problem {
        Problem::error(what, place, "mend it")
    }

    #[test]
    fn a_problem_keeps_its_time_while_its_details_change() {
        let first = renewed(&[], [problem("no answer: refused", "a"), problem("full", "b")], "1");
        assert!(first.iter().all(|problem| problem.since.as_deref() == Some("1")));
        let second = renewed(&first, [problem("no answer: timed out", "a"), problem("empty", "b")], "2");
        let since: Vec<_> = second.iter().map(|problem| problem.since.as_deref().unwrap()).collect();
        assert_eq!(since, ["1", "2"]);
        assert_eq!(second[0].what, "no answer: timed out");
        assert_eq!(renewed(&second, [], "3"), []);
    }

    #[test]
    fn many_are_counted() {
        let many = (0..MOST + 5).map(|n| problem("full", &n.to_string()));
        let told = renewed(&[], many, "1");
        assert_eq!(told.len(), MOST);
        assert!(told[MOST - 1].what.contains("and more like it"), "{told:?}");
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let account = Account { problems: vec![problem("a: b", "c")], probes: Vec::new(), inherited: 3 };
        let text = serde_json::to_string(&account).unwrap();
        assert!(text.contains("\"where\":\"c\"") && text.contains("\"do\":"), "{text}");
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
    }
}
