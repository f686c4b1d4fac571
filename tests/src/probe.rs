//! What `svclb-probe` reports: the answers that a client got, as it sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often something was seen.
pub type Counts = BTreeMap<String, u32>;

/// The outcome of a number of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// By the name of the pod that answered.
    pub pods: Counts,
    /// By the other end's address, as the kernel tells the client: `getpeername` of
    /// what is connected, the datagram's source of what is not.
    pub peers: Counts,
    /// By the whole answer: the pod's name and the client's address as the pod saw it.
    pub lines: Counts,
    /// By the error: its name in `errno.h`, or `timeout`.
    pub errors: Counts,
}

impl Answers {
    /// How many requests were answered.
    pub fn answered(&self) -> u32 {
        self.pods.values().sum()
    }

    /// How many requests failed.
    pub fn failed(&self) -> u32 {
        self.errors.values().sum()
    }

    /// Takes in one answer: `pod source`, as the servers write it.
    pub fn answer(&mut self, line: &str, peer: String) {
        let line = line.trim_end();
        let pod = line.split_once(' ').map_or(line, |(pod, _)| pod);
        *self.pods.entry(pod.to_owned()).or_default() += 1;
        *self.lines.entry(line.to_owned()).or_default() += 1;
        *self.peers.entry(peer).or_default() += 1;
    }

    /// Takes in one failure.
    pub fn error(&mut self, error: String) {
        *self.errors.entry(error).or_default() += 1;
    }
}

/// What became of one question of the mode `each`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The number of the question.
    pub id: u32,
    /// The whole answer: the pod's name and the client's address as the pod saw it.
    pub answer: Option<String>,
    /// The error: its name in `errno.h`, or `timeout`.
    pub error: Option<String>,
}
