//! What is read from the kernel's tables when somebody asks.

use std::collections::BTreeMap;

use super::Culprits;
use crate::{
    model::{Family, ServicePortKey},
    usage::PortTraffic,
};

/// Reads the kernel's tables, by handles of its own: it is called on another thread than the agent's.
pub trait Collect: Send + Sync + 'static {
    /// The state of now, or why it cannot be had, in a line.
    fn collect(&self) -> Result<Sample, String>;
}

/// A state of the kernel's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Packets and calls that were dropped or refused, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// How much there is of each family.
    pub counts: Vec<(Family, Counts)>,
    /// How full maps are that have a limit.
    pub maps: Vec<MapFill>,
    /// What went through each Service port that is in the tables.
    pub traffic: Vec<(ServicePortKey, PortTraffic)>,
    /// Whether the tables hold what was asked for.
    pub synced: bool,
    /// Writes to tables since the agent started.
    pub writes: u64,
    /// Programs that are attached, by hook.
    pub attached: BTreeMap<String, u64>,
    /// What was counted of backends, frontends and devices.
    pub culprits: Culprits,
}

/// How much there is of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Service ports.
    pub services: u64,
    /// Addresses with ports that clients reach them at.
    pub frontends: u64,
    /// Endpoints, each once.
    pub backends: u64,
    /// Translated flows; each is two entries.
    pub flows: u64,
}

/// How full a map is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFill {
    /// Its name, with the family: `FRONTENDS_V4`.
    pub map: String,
    /// Entries in it.
    pub entries: u64,
    /// Entries it has room for.
    pub capacity: u64,
}
