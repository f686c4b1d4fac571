//! From what is wanted and what is in the tables to the writes that lead from one to the other.
//!
//! Pure: no kernel, no clock, no I/O. The same arguments give the same writes.
//!
//! | module | noun |
//! |---|---|
//! | `applied`, `tables` | what is in the kernel's tables |
//! | `entry` | their keys and values |
//! | `raw` | tables as they were found, and their repair |
//! | `op` | one map write |
//! | `limits` | how much the tables hold |
//! | `numbers`, `ranges` | free cells and slots |
//! | `marks` | cells that a plan came across |
//! | `change` | what is to change about one service |
//! | `family`, `backends` | the plan of one family, and of the backends its services share |
//! | `nodes` | the plan of what the families share |
//! | `steps` | the order of writes |

mod applied;
mod backends;
mod change;
mod entry;
mod family;
mod limits;
mod marks;
mod nodes;
mod numbers;
mod op;
mod ranges;
mod raw;
mod retained;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

pub use self::{
    applied::Applied,
    entry::{
        BackendEntry, BackendFlags, BackendKey, FrontendEntry, FrontendKey, NodeId, ServiceEntry, map_kind,
    },
    limits::Limits,
    op::{MapOp, TableOp},
    raw::{Fault, Raw, RawTables, Readback, Repair},
    retained::retained,
    tables::Tables,
};
use self::{family::FamilyPlan, nodes::Nodes, steps::Steps};
use crate::model::{Family, ServicePortKey, Snapshot};

/// What to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in the order that keeps every reader right.
    pub ops: Vec<MapOp>,
    /// What the tables have no room for.
    pub refused: Vec<Refused>,
}

/// A service port that does not fit.
///
/// One that is in the tables keeps its place: it loses the frontends and backends that are not wanted any
/// more and gets no new ones. One that is not stays out altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The service port.
    pub key: ServicePortKey,
    /// What is missing.
    pub reason: Refusal,
}

/// Why a service port does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// No service cell is free.
    #[error("the table of services is full")]
    Services,
    /// Too few backend cells are free.
    #[error("the table of backends is full")]
    Backends,
    /// No run of free slots is long enough.
    #[error("the table of slots is full")]
    Slots,
    /// Too few frontends are free.
    #[error("the table of frontends is full")]
    Frontends,
}

/// The writes that make the tables hold what `desired` asks for.
///
/// `desired` names each frontend once, and lists the backends of a service port by address and port, each
/// pair once. Room is given to what is in the tables first, then in the order of keys. Cells and slots that
/// the plan frees are used again by later plans only, so after a plan that both frees and refuses another
/// plan may find room.
pub fn plan(desired: &Snapshot, applied: &Applied, limits: &Limits) -> Plan {
    let mut nodes = Nodes::new(applied, limits);
    let mut v4 = FamilyPlan::new(applied.tables(Family::V4), limits);
    let mut v6 = FamilyPlan::new(applied.tables(Family::V6), limits);
    let mut refused = Vec::new();
    let mut present = applied.services().peekable();
    for (key, port) in &desired.services {
        while let Some((gone, id)) = present.next_if(|(present, _)| *present < key) {
            of(gone.family, &mut v4, &mut v6).remove(id);
        }
        let id = present.next_if(|(present, _)| *present == key).map(|(_, id)| id);
        if let Err(reason) = of(key.family, &mut v4, &mut v6).service(key, port, id, &mut nodes) {
            refused.push(Refused { key: key.clone(), reason });
        }
    }
    for (gone, id) in present {
        of(gone.family, &mut v4, &mut v6).remove(id);
    }
    let (mut ops, unused) = nodes.finish();
    ops.extend(Steps::merge([(Family::V4, v4.finish()), (Family::V6, v6.finish())]));
    ops.extend(unused);
    Plan { ops, refused }
}

fn of<T>(family: Family, v4: T, v6: T) -> T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}
