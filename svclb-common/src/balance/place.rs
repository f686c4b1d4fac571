//! Where a program runs.

use crate::key::Hook;

/// What a device leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A pod of this node.
    Pod,
    /// Everything else: other nodes and the outside. The loopback device is one as
    /// well where host processes are translated per packet.
    Uplink,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the device leads to.
    pub edge: Edge,
    /// Which side of the device.
    pub hook: Hook,
    /// The device.
    pub ifindex: u32,
}

impl Place {
    /// Whether packets that other nodes send for backends of this one are taken out of theirs.
    #[inline(always)]
    pub fn takes_others(self) -> bool {
        matches!((self.edge, self.hook), (Edge::Uplink, Hook::Ingress))
    }

    /// The hook that the answers to an untranslated packet pass: the other side of the
    /// device. On the loopback device everything is seen as it leaves.
    #[inline(always)]
    pub(super) fn answers_at(self) -> Hook {
        if self.ifindex == LOOPBACK_IFINDEX { self.hook } else { self.hook.other() }
    }
}

/// The loopback device: the first one of every network namespace.
pub const LOOPBACK_IFINDEX: u32 = 1;
