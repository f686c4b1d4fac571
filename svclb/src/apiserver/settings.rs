//! How the API server is found and how often it is asked.

use std::{path::PathBuf, time::Duration};

/// How the API server is found and asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--kubeconfig`; without one, the environment of a pod.
    pub kubeconfig: Option<PathBuf>,
    /// `--node-name`: which Node is this node's own.
    pub node_name: String,
    /// Whether the node's own pods are asked for: which of them have opted out of what is done at sockets.
    pub follows_pods: bool,
    /// How often the server is asked.
    pub pace: Pace,
}

/// How often the API server is asked, and how long it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before the first repetition of what failed; doubled by each further one, and up to as much again at random,
    /// so that the nodes of a cluster do not come back at the same moment.
    pub retry: Duration,
    /// What the doubling ends at.
    pub retry_most: Duration,
    /// Before asking again for an optional kind that the server does not serve to us.
    pub rarely: Duration,
    /// How long a connection may take to be established.
    pub connect: Duration,
    /// How long nothing may arrive before a connection counts as dead. A server sends bookmarks about once in a
    /// minute, so a living one is hardly ever silent for longer; if it is, the watch resumes where it was.
    pub silence: Duration,
    /// Between the beginnings of two watches of one kind: a server, or a proxy before it, that ends each watch at
    /// once must not be asked in a circle.
    pub between_watches: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_millis(500),
            retry_most: Duration::from_secs(15),
            rarely: Duration::from_mins(10),
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(100),
            between_watches: Duration::from_secs(1),
        }
    }
}
