//! How much the tables hold, and how much of them one list may take.

use svclb_common::layout::capacity;

use super::layout::MAGLEV_TABLE_SIZE;

/// Capacities of the tables, per family. They must not be below those that the applied state was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frontends that have an address; node ports always have room.
    pub frontends: u32,
    /// Service cells, the reserved one among them.
    pub services: u32,
    /// Backend slots.
    pub slots: u32,
    /// Backend cells, the reserved one among them.
    pub backends: u32,
    /// Source ranges of all services together.
    pub source_ranges: u32,
    /// Node names, the reserved one among them.
    pub nodes: u32,
    /// Slots of a Maglev table; a prime.
    pub maglev_table: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frontends: capacity::FRONTENDS as u32,
            services: capacity::SERVICES as u32,
            slots: capacity::SLOTS as u32,
            backends: capacity::BACKENDS as u32,
            source_ranges: capacity::SOURCE_RANGES as u32,
            nodes: capacity::NODES as u32,
            maglev_table: MAGLEV_TABLE_SIZE,
        }
    }
}
