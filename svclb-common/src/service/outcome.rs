//! What became of the flows of a backend, and where those of a Service came in.

use super::FrontendKind;
use crate::sign::{SIGNS, Sign};

/// Value of the outcomes: how often each [`Sign`] was seen of a backend's flows, by its number from the first one's on.
/// All CPUs count in one, since each is rare. A cache line each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Outcomes {
    /// The counts.
    pub signs: [u64; SIGNS],
    /// Zero.
    pub reserved: [u64; 8 - SIGNS],
}

impl Outcomes {
    /// How often a sign was seen.
    pub fn of(&self, sign: Sign) -> u64 {
        self.signs[(sign as u32 - Sign::FIRST) as usize]
    }
}

/// Value of the loads: what a CPU has seen of a backend's flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Load {
    /// New flows, connections made at sockets among them.
    pub flows: u64,
    /// Translated packets, both directions.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

/// Kinds of frontends. A power of two.
pub const KINDS: usize = 4;

/// Value of the entrances: what a service cell counts of its new flows. All CPUs count in one. A cache line each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Entrance {
    /// Until when new flows are spoken for; see [`turn`](super::turn).
    pub due: u64,
    /// New flows by the [`FrontendKind`] that they came to, at the place of its [`place`](Self::place).
    pub flows: [u64; KINDS],
    /// Turns that were given out.
    pub turns: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

impl Entrance {
    /// Where a kind of that number is counted.
    #[inline(always)]
    pub fn place(kind: u32) -> usize {
        kind as usize & (KINDS - 1)
    }

    /// The new flows of a kind.
    pub fn of(&self, kind: FrontendKind) -> u64 {
        self.flows[Self::place(kind as u32)]
    }
}

/// Key of the drops of devices.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DeviceReason {
    /// The device; 0 at sockets.
    pub ifindex: u32,
    /// Number of the [`DropReason`](crate::verdict::DropReason).
    pub reason: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_cpus_are_cache_lines() {
        assert_eq!((size_of::<Outcomes>(), size_of::<Entrance>()), (64, 64));
    }
}
