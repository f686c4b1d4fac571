//! What may happen.

use super::Way;

/// Something that happens to an agent, or to its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The agent is killed, and another one started.
    Kill,
    /// The agent is asked to stop, and another one started.
    Stop,
    /// The next agent translates at pods' sockets as well, or no more.
    Settings,
    /// A second agent is started by mistake.
    Second,
    /// The API server goes away and comes back.
    Outage,
    /// It comes back and has forgotten what was watched.
    Expiry,
    /// Lists break off in the middle.
    HalfList,
    /// Backends come and go in good order.
    Rolling,
    /// A pod's device comes and goes.
    Device,
    /// The uplink gets another address and loses it.
    Address,
    /// Nothing.
    Quiet,
}

impl Event {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::Kill,
        Self::Stop,
        Self::Settings,
        Self::Second,
        Self::Outage,
        Self::Expiry,
        Self::HalfList,
        Self::Rolling,
        Self::Device,
        Self::Address,
        Self::Quiet,
    ];

    /// Whether it can happen with this way of translating, and is promised to be noticed by nobody. Connections of the node's
    /// own that were translated by packet do not survive the end of that.
    pub(super) fn is_promised(self, way: Way) -> bool {
        self != Self::Settings || way == Way::Sockets
    }

    /// What it is called.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Kill => "the agent is killed",
            Self::Stop => "the agent is stopped",
            Self::Settings => "pods' sockets begin or cease to count",
            Self::Second => "a second agent is started",
            Self::Outage => "the API server is away",
            Self::Expiry => "the API server has forgotten",
            Self::HalfList => "half a list",
            Self::Rolling => "backends come and go",
            Self::Device => "a device comes and goes",
            Self::Address => "an address comes and goes",
            Self::Quiet => "nothing happens",
        }
    }
}
