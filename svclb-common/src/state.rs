//! What the agent tells other processes, as the single value of a map.

use crate::{
    cell::{Word32, Word64},
    flow::TIMEOUTS,
};

/// The agent's state. A process that only reads the pins learns from it whether the
/// tables hold what was last asked for.
#[repr(C)]
#[derive(Debug)]
pub struct AgentState {
    /// 1 when the tables hold all that the agent knows of and every wanted device carries
    /// its programs, 0 while one of them is known to lag.
    pub synced: Word32,
    /// Process of the agent that wrote last.
    pub pid: Word32,
    /// Writes to tables since that agent started; this value's own are not counted.
    pub writes: Word64,
    /// How many times that agent applied a plan, empty plans among them.
    pub applied: Word64,
    /// [`Timeouts`](crate::flow::Timeouts) that its programs and its collector go by, in seconds.
    pub timeouts: [Word32; TIMEOUTS],
}
