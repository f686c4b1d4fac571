//! The flows that the programs keep, as a reader sees them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use aya::maps::{MapError, MapInfo};
use svclb_common::{
    FlowRecord,
    family::{Address, V4, V6},
    flow::{FIN, FlowState, RST, Timeouts},
    key::FlowKey,
    layout::map,
    state::AgentState,
};

use super::{
    Error, clock,
    family::MapFamily,
    pins::Pins,
    tables::{element, open_array, open_hash, read_error},
};
use crate::{model::Family, sys::mapped::Access};

/// A flow: its entry from the client to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The service cell's family.
    pub family: Family,
    /// The service cell.
    pub service: u32,
    /// IANA protocol number.
    pub protocol: u8,
    /// Who sends.
    pub client: SocketAddr,
    /// What the client names.
    pub frontend: SocketAddr,
    /// Whom the backend sees.
    pub source: SocketAddr,
    /// Who serves.
    pub backend: SocketAddr,
    /// Whether it is among the established flows: both ends have spoken, and not ended.
    pub established: bool,
    /// Whether the client has ended its side.
    pub closing: bool,
    /// Where it stands, told from both directions.
    pub state: FlowState,
    /// Seconds since the last packet of either direction, to within two.
    pub idle_seconds: u64,
    /// Seconds without a packet after which it is forgotten.
    pub timeout_seconds: u32,
}

/// All flows of both families.
pub fn read(pins: &Pins) -> Result<Vec<Flow>, Error> {
    let now = clock::now() / 1_000_000_000;
    let timeouts = timeouts(pins)?;
    let mut flows = of_family::<V4>(pins, now, &timeouts)?;
    flows.extend(of_family::<V6>(pins, now, &timeouts)?);
    flows.sort_by_key(|flow| (flow.frontend, flow.client));
    Ok(flows)
}

/// For how long the agent that ran last remembers flows.
fn timeouts(pins: &Pins) -> Result<Timeouts, Error> {
    let state = open_array::<AgentState>(pins, map::STATE, Access::Read)?;
    let state = element(&state, map::STATE.into(), 0)?;
    Ok(Timeouts { seconds: std::array::from_fn(|number| state.timeouts[number].load()) })
}

fn of_family<F: MapFamily>(pins: &Pins, now: u64, timeouts: &Timeouts) -> Result<Vec<Flow>, Error> {
    let (mut there, mut back) = (Vec::new(), HashMap::new());
    each::<F>(pins, |key, record, established| {
        if record.recipe.is_original() {
            there.push((key, record, established));
        } else {
            // Which packets look at first.
            back.entry(bytes(&key)).or_insert((key, record));
        }
    })?;
    let flows = there.into_iter().map(|(key, record, established)| {
        let peer = back.get(&bytes(&record.recipe.peer())).filter(|(_, peer)| peer.recipe.names(&key));
        flow::<F>(key, record, peer.map(|(_, peer)| peer), established, now, timeouts)
    });
    Ok(flows.collect())
}

/// What a key is found by.
fn bytes<A: Address>(key: &FlowKey<A>) -> (Vec<u8>, [u16; 2], [u8; 2]) {
    let addrs = [bytemuck::bytes_of(&key.src), bytemuck::bytes_of(&key.dst)].concat();
    (addrs, [key.sport, key.dport], [key.proto, key.hook])
}

/// How full a flow table is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// Its name, with the family: `FLOWS_V4`.
    pub map: String,
    /// Entries in it, two a flow.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

/// How many flows of a family there are, and how full the tables are that hold them.
pub fn fill_of(pins: &Pins, family: Family) -> Result<(usize, [Fill; 2]), Error> {
    match family {
        Family::V4 => fill::<V4>(pins),
        Family::V6 => fill::<V6>(pins),
    }
}

fn fill<F: MapFamily>(pins: &Pins) -> Result<(usize, [Fill; 2]), Error> {
    let (mut flows, mut entries) = (0, [0; 2]);
    each::<F>(pins, |_, record, established| {
        flows += usize::from(record.recipe.is_original());
        entries[usize::from(!established)] += 1;
    })?;
    let of = |name, entries| {
        let map = F::map(name);
        let info = MapInfo::from_pin(pins.map(&map)).map_err(|error| Error::map(&map, &error))?;
        Ok(Fill { map, entries, capacity: info.max_entries().into() })
    };
    Ok((flows, [of(map::FLOWS, entries[0])?, of(map::HALF_OPEN, entries[1])?]))
}

/// Calls `found` for each entry of a family, established ones first, with whether it is one.
pub(super) fn each<F: MapFamily>(
    pins: &Pins,
    mut found: impl FnMut(FlowKey<F::Addr>, FlowRecord<F::Addr>, bool),
) -> Result<(), Error> {
    for (name, established) in [(F::map(map::FLOWS), true), (F::map(map::HALF_OPEN), false)] {
        let entries = open_hash::<FlowKey<F::Addr>, FlowRecord<F::Addr>>(pins, &name)?;
        for item in &entries {
            match item {
                Ok((key, record)) => found(key, record, established),
                // Evicted between its key and its value.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(read_error(name, &error)),
            }
        }
    }
    Ok(())
}

fn flow<F: MapFamily>(
    key: FlowKey<F::Addr>,
    record: FlowRecord<F::Addr>,
    peer: Option<&FlowRecord<F::Addr>>,
    established: bool,
    now: u64,
    timeouts: &Timeouts,
) -> Flow {
    let end = |addr: F::Addr, port: u16| SocketAddr::new(Into::<IpAddr>::into(addr), u16::from_be(port));
    let recipe = record.recipe;
    let state = record.flow_state(peer);
    let seen = peer.map_or(0, |peer| peer.life.seen()).max(record.life.seen());
    Flow {
        family: F::MODEL,
        service: recipe.service,
        protocol: key.proto,
        client: end(key.src, key.sport),
        frontend: end(key.dst, key.dport),
        // Inside another packet nothing changes.
        source: if recipe.is_one_way() { end(key.src, key.sport) } else { end(recipe.src, recipe.sport) },
        backend: end(recipe.dst, recipe.dport),
        established,
        closing: record.life.state() & (FIN | RST) != 0,
        state,
        idle_seconds: now.saturating_sub(seen / 1_000_000_000),
        timeout_seconds: timeouts.of(state),
    }
}
