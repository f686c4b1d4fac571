//! The tables that an entry may be in.

/// Which of the flow tables an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Home {
    /// That of established flows.
    Flows,
    /// The other one.
    HalfOpen,
}
