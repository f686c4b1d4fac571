//! On what kind of node the fixtures' packets are looked at.

/// On what kind of node packets are looked at. None of it may make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One whose devices have TC programs.
    Plain,
    /// Packets from outside pass the XDP program before they come to the TC program.
    WithXdp,
    /// Flows are moving to tables of another size, and no packet finds its entry where it looks first.
    WhileMoving,
}
