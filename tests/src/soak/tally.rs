//! What steady clients have seen: requests by kind, and what became of them.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{AddAssign, Sub},
    str::FromStr,
    time::Duration,
};

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// How a steady client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A connection of TCP for each request.
    Short,
    /// The same, and it is always the same pod that answers.
    Affine,
    /// One connection of TCP for all requests, and one pod.
    Long,
    /// The same with seconds between two requests.
    Idle,
    /// A datagram socket for all requests that names the destination each time.
    Datagram,
    /// A connected datagram socket for all requests.
    Connected,
    /// A connected datagram socket for each request.
    Exchange,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Short, Self::Affine, Self::Long, Self::Idle, Self::Datagram, Self::Connected, Self::Exchange];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Affine => "affine",
            Self::Long => "long",
            Self::Idle => "idle",
            Self::Datagram => "datagram",
            Self::Connected => "connected",
            Self::Exchange => "exchange",
        }
    }

    /// What it is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Short => "TCP, a connection each",
            Self::Affine => "TCP, session affinity",
            Self::Long => "TCP, one connection",
            Self::Idle => "TCP, one connection, idle",
            Self::Datagram => "UDP, one socket",
            Self::Connected => "UDP, one connected socket",
            Self::Exchange => "UDP, a socket each",
        }
    }

    /// Between two requests.
    pub fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Idle => 2000,
            Self::Affine => 100,
            _ => 50,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let Some(kind) = Self::ALL.into_iter().find(|kind| kind.name() == name) else {
            bail!("no such kind of client: {name}")
        };
        Ok(kind)
    }
}

/// What became of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests made.
    pub asked: u64,
    /// Those without the right answer.
    pub failed: u64,
    /// Connections that were established and then broke.
    pub reset: u64,
    /// Those with an answer that took so long that a packet must have been sent twice.
    pub slow: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.asked += other.asked;
        self.failed += other.failed;
        self.reset += other.reset;
        self.slow += other.slow;
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            asked: self.asked - earlier.asked,
            failed: self.failed - earlier.failed,
            reset: self.reset - earlier.reset,
            slow: self.slow - earlier.slow,
        }
    }
}

/// What became of requests, by the kind of client, since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// By kind.
    pub kinds: BTreeMap<Kind, Counts>,
    /// Failures in the order in which they came, the first ones only: when, which client, and why.
    pub failures: Vec<String>,
}

impl Tally {
    /// Of all kinds together.
    pub fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.kinds.values().for_each(|counts| sum += *counts);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_names() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("other".parse::<Kind>().unwrap_err().to_string().contains("other"));
    }

    #[test]
    fn counts_are_summed_and_told_apart() {
        let counts = |asked, failed| Counts { asked, failed, ..Counts::default() };
        let kinds = [(Kind::Short, counts(5, 1)), (Kind::Long, counts(2, 0))].into();
        let tally = Tally { kinds, failures: Vec::new() };
        assert_eq!(tally.sum(), counts(7, 1));
        assert_eq!(tally.sum() - counts(3, 1), counts(4, 0));
    }
}
