//! How many flows each backend has: the programs' count, corrected.
//!
//! The programs count where a flow opens and where they see it end. They do not see a table that makes room, nor a
//! datagram that was the last one, so the flow tables are counted from time to time.

use svclb_common::{
    FlowRecord,
    cell::Word64,
    family::{V4, V6},
    flow::LEFT,
    layout::map,
    service::{Algorithm, BackendCell, Policy, ServiceCell},
};

use super::{Error, clock, family::MapFamily, flows, pins::Pins, tables::open_array};
use crate::sys::mapped::Access;

/// Counts the flows of both families, where any Service goes by them, and adds to the programs' counts what they lack.
/// What the programs count meanwhile stays in.
pub fn recount(pins: &Pins) -> Result<(), Error> {
    recount_family::<V4>(pins)?;
    recount_family::<V6>(pins)
}

fn recount_family<F: MapFamily>(pins: &Pins) -> Result<(), Error> {
    let services = open_array::<ServiceCell>(pins, &F::map(map::SERVICES), Access::Read)?;
    let counts = |cell: &ServiceCell| Policy::unpack(cell.policy.load()).chooses_by(Algorithm::LeastConn);
    if !services.iter().any(|(_, cell)| counts(cell)) {
        return Ok(());
    }
    let active = open_array::<Word64>(pins, &F::map(map::ACTIVE), Access::Write)?;
    let backends = open_array::<BackendCell<F::Addr>>(pins, &F::map(map::BACKENDS), Access::Read)?;
    let before: Vec<_> = active.iter().map(|(_, count)| count.load().cast_signed()).collect();
    let mut found = vec![0_i64; before.len()];
    let now = clock::now();
    flows::each::<F>(pins, |_, record, established| {
        let recipe = &record.recipe;
        let is_current =
            backends.get(recipe.backend).is_some_and(|cell| cell.generation.load() == recipe.generation);
        if is_current
            && is_active(&record, established, now)
            && let Some(count) = found.get_mut(recipe.backend as usize)
        {
            *count += 1;
        }
    })?;
    for ((_, count), (before, found)) in active.iter().zip(before.into_iter().zip(found)) {
        if found != before {
            count.add(found - before);
        }
    }
    Ok(())
}

/// Nanoseconds for which a flow that is not established counts.
const UNANSWERED: u64 = 120_000_000_000;

fn is_active<A: svclb_common::family::Address>(record: &FlowRecord<A>, established: bool, now: u64) -> bool {
    // Established flows that are over are collected; of the others many will never be.
    let is_recent = established || now.saturating_sub(record.life.seen()) <= UNANSWERED;
    record.life.state() & LEFT == 0 && is_recent
}
