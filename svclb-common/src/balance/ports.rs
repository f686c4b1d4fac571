//! A free source port towards a backend, found if there is one.
//!
//! The flow tables are the truth: a port is free while no flow that lives has its tuple. So there
//! is nothing to leak and nothing to give back, and ports of ended flows are free at once.

use crate::{
    balance::{
        scratch::Scratch,
        tables::{Repeat, Tables},
    },
    family::{Address, Family},
    snat::{Order, PortsKey, PortsMemory, patience},
};

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Found {
    /// Every port of the range belongs to a flow that lives.
    Nothing,
    /// The port is in `scratch`, and its tuple is nobody's.
    Port,
    /// There may be one: the next packet goes on with the search.
    NotYet,
}

/// Looks for a port of the range that no flow has towards the backend in `scratch`.
///
/// Ports are visited in a random order, each once. That takes a try or two unless most are taken.
/// Where none is left the search is not repeated for [`patience`]. Tells whether it found one;
/// otherwise `scratch.found` says why not.
#[inline(always)]
pub fn find_port<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    if !begins(tables, scratch) {
        return false;
    }
    let (min, max) = tables.snat_ports();
    let ports = u32::from(max - min) + 1;
    let mask = ports.next_power_of_two() - 1;
    let steps = mask + 1 - scratch.memory.at;
    let is_complete = tables.repeat(steps, &mut Search { tables, scratch });
    if scratch.found == Found::Port as u32 {
        return true;
    }
    if is_complete {
        // Never zero, which stands for a search that goes on.
        scratch.memory.until = tables.now().saturating_add(patience(ports)) | 1;
    } else {
        scratch.found = Found::NotYet as u32;
    }
    tables.keep_search(&scratch.pair, &scratch.memory);
    false
}

/// Whether a search begins, or goes on: `scratch` says from where. What this holds on the stack is free again when it does.
#[inline(never)]
fn begins<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    let (min, max) = tables.snat_ports();
    let ports = u32::from(max - min) + 1;
    let mask = ports.next_power_of_two() - 1;
    let Scratch { path, backend, key, pair, memory, .. } = &mut *scratch;
    *pair = PortsKey { src: path.src, dst: backend.addr, port: backend.port, proto: key.proto, pad: 0 };
    *memory = tables.searched(pair).unwrap_or_default();
    if memory.until > tables.now() {
        return false;
    }
    // A range that is configured anew begins anew.
    if memory.until != 0 || memory.order.stride == 0 || memory.at > mask {
        *memory = PortsMemory { until: 0, order: Order::of(tables.random()), at: 0 };
    }
    true
}

/// A search on its way. Where it is stands in `scratch`, for the stack's sake.
struct Search<'a, T, A: Address> {
    tables: &'a T,
    scratch: &'a mut Scratch<A>,
}

impl<F: Family, T: Tables<F>> Repeat<F> for Search<'_, T, F::Addr> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Self { tables, scratch } = self;
        let (min, max) = tables.snat_ports();
        let ports = u32::from(max - min) + 1;
        let mask = ports.next_power_of_two() - 1;
        let offset = scratch.memory.order.visit(scratch.memory.at, mask);
        scratch.memory.at = scratch.memory.at.wrapping_add(1);
        // The order is one of a power of two; what is above the range is passed over.
        if offset < ports {
            scratch.aim(min.wrapping_add(offset as u16).to_be());
            if tables.claim(scratch) {
                scratch.found = Found::Port as u32;
                return true;
            }
        }
        false
    }
}
