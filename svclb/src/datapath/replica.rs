//! The programs once more, to be run on packets that nobody has sent.
//!
//! What the agent writes and programs only read is the live map. Whatever programs write is a map of the
//! replica's own: there it has what the live one holds of the packets' ends, and nobody else ever sees what becomes of it. So the
//! bytecode is the one that runs, to the last instruction, and there is none in it that knows whether it is watched. A map
//! that is not named here is the replica's own as well.
//!
//! What a program decided is read from its working memory, which no other packet can use meanwhile.
//!
//! | module | noun |
//! |---|---|
//! | [`copy`] | what the live maps hold of some addresses |
//! | [`host`] | the decision at a socket call, which the kernel runs no program for on trial |
//! | [`known`] | the flow of a packet |
//! | [`run`] | one packet, and what became of it |

mod copy;
pub mod host;
mod known;
mod run;

use std::{collections::BTreeSet, net::IpAddr};

use aya::{Ebpf, EbpfLoader, maps::MapType};
use svclb_common::{
    config::DatapathConfig,
    family::{V4, V6},
    layout::map,
};

use self::copy::Memory;
pub use self::{
    known::KnownFlow,
    run::{Decided, Ran, Way},
};
use super::{
    Error,
    error::chain,
    object::{BYTECODE, Capacities, names, shapes},
    pins::Pins,
};

/// Maps of a family that no program writes.
const READ: [&str; 13] = [
    map::FRONTENDS,
    map::FRONTEND_FILTER,
    map::NODE_PORTS,
    map::LOCALS,
    map::SOURCES,
    map::SERVICES,
    map::SLOTS,
    map::BACKENDS,
    map::SOURCE_RANGES,
    map::CLUSTER_IPS,
    map::EXTERNAL_IPS,
    map::RANGES,
    map::PODS,
];

/// The others.
const READ_BY_ALL: [&str; 3] = [map::XDP_UPLINKS, map::ROUTES, map::OPT_OUTS];

/// Maps whose size is part of their meaning.
const FIXED: [&str; 4] = [map::EVENTS, map::DROPS, map::SETTINGS, map::STATE];

/// Entries of a hash that programs write into, beside those that are copied: many more than packets are explained, since a
/// table that is nearly full makes room on some processors.
const ROOM: u32 = 16_384;

/// Elements of an array that every processor has for itself: what is beyond is counters and caches, which no
/// decision needs.
const PER_CPU: u32 = 1024;

/// Programs over live maps that they only read, and maps of their own.
pub struct Replica {
    ebpf: Ebpf,
}

/// Whether programs only read the map of that full name.
pub fn is_read_only(name: &str) -> bool {
    let base = name.strip_suffix("_V4").or_else(|| name.strip_suffix("_V6"));
    base.is_some_and(|base| READ.contains(&base)) || READ_BY_ALL.contains(&name)
}

impl Replica {
    /// Programs with these settings, who know of flows and clients what the live ones know of those with an address in `ends`,
    /// and nothing of others.
    pub fn load(pins: &Pins, config: &DatapathConfig, ends: &BTreeSet<IpAddr>) -> Result<Self, Error> {
        let v4 = Memory::<V4>::read(pins, ends)?;
        let v6 = Memory::<V6>::read(pins, ends)?;
        let copied = u32::try_from(v4.len().max(v6.len())).unwrap_or(u32::MAX);
        let shapes = shapes(&Capacities::new())?;
        let names: Vec<_> = names().collect();
        let mut loader = EbpfLoader::new();
        loader.override_global("CONFIG", config, true);
        for name in &names {
            if is_read_only(name) {
                let pin = pins.map(name);
                // What is not there would be made, and pinned.
                if !pin.exists() {
                    return Err(Error::NoPins(pin));
                }
                loader.map_pin_path(name, pin);
            } else if let Some(shape) = shapes.get(name).filter(|_| !FIXED.contains(&name.as_str())) {
                loader.map_max_entries(name, room(shape.kind, shape.max_entries, copied));
            }
        }
        let ebpf = loader
            .load(BYTECODE)
            .map_err(|error| Error::Load { what: "cannot load the maps".into(), reason: chain(&error) })?;
        let mut replica = Self { ebpf };
        v4.write(pins, &mut replica.ebpf)?;
        v6.write(pins, &mut replica.ebpf)?;
        Ok(replica)
    }
}

/// How many entries a map of the replica's own has, where the live one may have `entries`.
fn room(kind: u32, entries: u32, copied: u32) -> u32 {
    if kind == MapType::LruHash as u32 || kind == MapType::Hash as u32 {
        copied.saturating_mul(2).saturating_add(ROOM)
    } else if kind == MapType::PerCpuArray as u32 {
        entries.min(PER_CPU)
    } else {
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_is_not_shared() {
        for written in
            ["FLOWS_V4", "HALF_OPEN_V6", "DROPS", "EVENTS", "TRAFFIC_V4", "ENTRANCES", "ANYTHING_V4"]
        {
            assert!(!is_read_only(written), "{written}");
        }
        let shared: Vec<_> = names().filter(|name| is_read_only(name)).collect();
        assert_eq!(shared.len(), READ.len() * 2 + READ_BY_ALL.len(), "{shared:?}");
    }
}
