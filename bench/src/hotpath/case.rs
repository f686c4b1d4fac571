//! One thing that is measured.

use aya::programs::ProgramFd;
use serde::Serialize;

/// What carries the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Medium {
    /// A frame, before the stack.
    Xdp,
    /// A socket buffer.
    Tc,
}

/// Which flows the packets are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flows {
    /// One, so that everything it needs is in the nearest cache.
    One,
    /// 65,536 established ones, far apart.
    Many,
    /// Each packet is of one that was never seen; tables are full.
    New,
}

/// The flows of [`Flows::Many`].
pub(crate) const MANY: u32 = 1 << 16;

/// After so many flows the same client comes again, long forgotten.
pub(crate) const CLIENTS: u32 = 1 << 22;

impl Flows {
    /// Bits of the client's address that differ.
    pub(crate) fn mask(self) -> u32 {
        match self {
            Self::One => 0,
            Self::Many => MANY - 1,
            Self::New => CLIENTS - 1,
        }
    }

    /// What a packet's number is multiplied by: an odd number reaches every flow, and no two near each other.
    pub(crate) fn step(self) -> u32 {
        match self {
            Self::One => 0,
            Self::Many => 0x9e37_79b1,
            Self::New => 1,
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// What the kernel says of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    /// Instructions after the verifier.
    pub(crate) instructions: u32,
    /// Bytes of machine code.
    pub(crate) machine_code: u32,
    /// Instructions that the verifier followed.
    pub(crate) verified: u32,
    /// Bytes of stack of the deepest chain of calls.
    pub(crate) stack: u32,
}

/// What is measured.
pub(crate) struct Case {
    /// Its path, without family: that of both families have the same.
    pub(crate) path: String,
    pub(crate) family: Family,
    pub(crate) medium: Medium,
    pub(crate) flows: Flows,
    pub(crate) program: ProgramFd,
    pub(crate) figures: Figures,
    /// The packet's device.
    pub(crate) ifindex: u32,
    pub(crate) frame: Vec<u8>,
    /// The program's code, which each pass must return.
    pub(crate) verdict: i32,
    /// Path of the same family whose time is the wrapper's, and is subtracted.
    pub(crate) base: Option<&'static str>,
    /// Path of the same family that this one is measured by.
    pub(crate) floor: Option<&'static str>,
    /// The ratio to that which is to be reached.
    pub(crate) goal: Option<f64>,
}
