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
//! | `cells`, `slots`, `address_set`, `names` | their parts: backends, slots, addresses of Services, nodes |
//! | `numbers`, `ranges`, `draft` | free cells and slots; slots that a plan takes |
//! | [`layout`] | in which slots the backends of a list lie |
//! | `visits` | how much of the tables a plan looks at |
//! | `policy` | a service's policy in the model's words and in the maps' |
//! | `change`, `list_change` | what is to change about one service, and about one of its lists |
//! | `family`, `backends` | the plan of one family, and of the backends its services share |
//! | `nodes` | the plan of what the families share |
//! | `steps` | the order of writes |

use std::collections::BTreeMap;

mod address_set;
mod applied;
mod backends;
mod cells;
mod change;
mod counts;
mod draft;
mod entry;
mod family;
pub mod layout;
mod limits;
mod list_change;
mod names;
mod nodes;
mod numbers;
mod op;
mod policy;
mod ranges;
mod raw;
mod retained;
mod slots;
mod steps;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod visits;

pub use self::{
    applied::Applied,
    entry::{
        BackendEntry, BackendFlags, BackendKey, CellEntry, FrontendEntry, FrontendKey, ListEntry, NodeId,
        ServiceEntry, map_kind,
    },
    limits::Limits,
    op::{MapOp, TableOp},
    policy::{map_policy, model_policy},
    raw::{Fault, Raw, RawTables, Readback, Repair},
    retained::retained,
    tables::{Member, Tables},
};
use self::{family::FamilyPlan, nodes::Nodes, steps::Steps};
use crate::model::{Family, ServicePort, ServicePortKey};

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
    /// Too few source ranges are free. Everything else about the service port is as it is wanted, and its load
    /// balancer addresses are closed to the clients whose ranges did not fit.
    #[error("the table of source ranges is full: clients in some of its ranges are dropped")]
    SourceRanges,
}

/// The writes that make the tables hold what `changed` says: service ports in ascending order, each once, with
/// what they are to be, or nothing for those that are gone. All others stay as they are.
///
/// The work is in proportion to `changed`, however much the tables hold. A frontend belongs to one service port,
/// and one that goes over to another is in the changes of both. The backends of a service port are listed by
/// address and port, each pair once. Room is given in the order of `changed`. Cells and slots that the plan frees
/// are used again by later plans only, so after a plan that both frees and refuses, another plan that names the
/// refused service ports again may find room.
pub fn plan<'a>(
    changed: impl IntoIterator<Item = (&'a ServicePortKey, Option<&'a ServicePort>)>,
    applied: &'a Applied,
    limits: &'a Limits,
) -> Plan {
    let mut nodes = Nodes::new(applied, limits);
    let mut v4 = FamilyPlan::new(applied.tables(Family::V4), limits);
    let mut v6 = FamilyPlan::new(applied.tables(Family::V6), limits);
    let mut refused = Vec::new();
    for (key, port) in changed {
        let family = of(key.family, &mut v4, &mut v6);
        match (port, applied.service_id(key)) {
            (Some(port), id) => {
                if let Err(reason) = family.service(key, port, id, &mut nodes) {
                    refused.push(Refused { key: key.clone(), reason });
                }
            }
            (None, Some(id)) => family.remove(id),
            (None, None) => {}
        }
    }
    let families = [(Family::V4, v4.finish(&mut nodes)), (Family::V6, v6.finish(&mut nodes))];
    let (mut ops, unused) = nodes.finish();
    ops.extend(Steps::merge(families));
    ops.extend(unused);
    Plan { ops, refused }
}

/// The writes that make the tables hold `desired` and nothing else; all of both is looked at.
pub fn plan_all(desired: &BTreeMap<ServicePortKey, ServicePort>, applied: &Applied, limits: &Limits) -> Plan {
    let mut changed: BTreeMap<_, _> = applied.services().map(|(key, _)| (key, None)).collect();
    changed.extend(desired.iter().map(|(key, port)| (key, Some(port))));
    plan(changed, applied, limits)
}

fn of<T>(family: Family, v4: T, v6: T) -> T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}
