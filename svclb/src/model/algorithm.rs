//! How a Service port chooses a backend for a new flow.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// The annotation of a Service that names its algorithm.
pub(super) const ANNOTATION: &str = "svclb.io/algorithm";

/// How backends are chosen (`--algorithm`, annotation `svclb.io/algorithm` of a Service).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Each new flow by a random number, as kube-proxy does.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest flows.
    LeastConn,
    /// By a Maglev table, so that all nodes choose alike and little moves when backends change.
    Maglev,
    /// By a hash of the client's address.
    SourceHash,
}

impl Algorithm {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [Self; 5] =
        [Self::Random, Self::RoundRobin, Self::LeastConn, Self::Maglev, Self::SourceHash];

    /// The name in flags, annotations and outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RoundRobin => "round-robin",
            Self::LeastConn => "least-conn",
            Self::Maglev => "maglev",
            Self::SourceHash => "source-hash",
        }
    }

    /// The algorithm of that name; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(" or ");
        Self::parse(name).ok_or_else(|| format!("{name:?} is unknown; use {}", names()))
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_the_name_of_its_flag() {
        let names = Algorithm::ALL.map(Algorithm::as_str);
        assert_eq!(names, ["random", "round-robin", "least-conn", "maglev", "source-hash"]);
        assert_eq!(names.map(Algorithm::parse), Algorithm::ALL.map(Some));
        for wrong in ["", "Random", "rr", " random"] {
            assert_eq!(Algorithm::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Algorithm::default(), Algorithm::Random);
        let unknown = "\"rr\" is unknown; use random or round-robin or least-conn or maglev or source-hash";
        assert_eq!("rr".parse::<Algorithm>(), Err(unknown.into()));
    }
}
