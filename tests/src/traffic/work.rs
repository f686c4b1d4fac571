//! What a client is told to do, and what it tells of it.

use std::{fmt, net::SocketAddr, str::FromStr};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// What is done with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Connects, one after the other. Each is closed by a reset, which leaves no `TIME_WAIT`.
    Connect,
    /// Connects, sends a byte, gets one, closes by a reset; several at a time.
    Short,
    /// Sends a byte and gets one, on one connection.
    PingPong,
    /// Sends on one connection as fast as it goes.
    Bulk,
}

impl Work {
    /// All.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Short, Self::PingPong, Self::Bulk];

    /// As in a [`Task`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Short => "short",
            Self::PingPong => "ping-pong",
            Self::Bulk => "bulk",
        }
    }

    /// What its [`Sample::rate`] counts in a second.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Connect | Self::Short => "connections/s",
            Self::PingPong => "exchanges/s",
            Self::Bulk => "Gbit/s",
        }
    }
}

/// One line to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Work, so many times or (bulk) milliseconds, with these addresses in turn.
    Work {
        /// What.
        work: Work,
        /// How much.
        amount: u32,
        /// With whom.
        targets: Vec<SocketAddr>,
    },
    /// Connect until the server of this number answers, for two minutes at most.
    Await {
        /// The server's number.
        server: u8,
        /// Where it is looked for.
        target: SocketAddr,
    },
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work { work, amount, targets } => {
                let targets: Vec<_> = targets.iter().map(SocketAddr::to_string).collect();
                write!(f, "{} {amount} {}", work.name(), targets.join(","))
            }
            Self::Await { server, target } => write!(f, "await {server} {target}"),
        }
    }
}

impl FromStr for Task {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split_whitespace();
        let (Some(what), Some(number), Some(whom)) = (words.next(), words.next(), words.next()) else {
            bail!("{line:?}: not a task");
        };
        if what == "await" {
            return Ok(Self::Await { server: number.parse()?, target: whom.parse()? });
        }
        let work = Work::ALL.into_iter().find(|work| work.name() == what);
        let targets: Result<Vec<SocketAddr>, _> = whom.split(',').map(str::parse).collect();
        Ok(Self::Work {
            work: work.with_context(|| format!("{what}: no such work"))?,
            amount: number.parse()?,
            targets: targets?,
        })
    }
}

/// What a client tells of its work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// How often in a second, in units of [`Work::unit`].
    pub rate: f64,
    /// Microseconds of half of the connects; 0 for other work.
    pub p50: f64,
    /// Of all but the slowest hundredth.
    pub p99: f64,
}

/// One line of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The work is done.
    Done(Sample),
    /// Who was awaited has answered, at this time of `CLOCK_MONOTONIC` in nanoseconds.
    Answered(u64),
    /// It cannot be done.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_written() {
        let targets: Vec<SocketAddr> =
            ["10.0.0.1:80", "[fd00::1]:8080"].map(|text| text.parse().unwrap()).into();
        let tasks = Work::ALL.map(|work| Task::Work { work, amount: 7, targets: targets.clone() });
        for task in tasks.into_iter().chain([Task::Await { server: 2, target: targets[0] }]) {
            assert_eq!(task.to_string().parse::<Task>().unwrap(), task);
        }
    }

    #[test]
    fn what_is_no_task_is_refused() {
        for line in [
            "",
            "connect",
            "connect 1",
            "sleep 1 10.0.0.1:80",
            "short x 10.0.0.1:80",
            "bulk 1 here",
            "await 300 10.0.0.1:80",
        ] {
            assert!(line.parse::<Task>().is_err(), "{line}");
        }
    }
}
