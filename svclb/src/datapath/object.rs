//! The bytecode, and the shape of its maps.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use aya::{
    include_bytes_aligned,
    maps::{MapInfo, MapType},
};
use aya_obj::generated::BPF_F_RDONLY_PROG;
use svclb_common::layout::map;

use super::{Error, error::chain, pins::Pins, resize::Resize};

/// The object file that `cargo xtask build-ebpf` made.
pub static BYTECODE: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/svclb.o"));

/// Capacities other than the bytecode's own, by the name of the map with its family.
pub type Capacities = BTreeMap<String, u32>;

/// What must agree for a pinned map to be used by this binary. aya compares none of
/// it, and a value larger than expected would be written over other memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key_size, value_size, max_entries, flags } = self;
        write!(f, "type {kind}, key {key_size}, value {value_size}, {max_entries} entries, flags {flags:#x}")
    }
}

/// Names of all pinned maps.
pub fn names() -> impl Iterator<Item = String> {
    let families =
        map::PER_FAMILY.into_iter().flat_map(|name| ["V4", "V6"].map(|family| format!("{name}_{family}")));
    families.chain(map::SHARED.into_iter().map(str::to_owned))
}

/// The shapes that this binary needs.
pub fn shapes(capacities: &Capacities) -> Result<BTreeMap<String, Shape>, Error> {
    let object = aya_obj::Object::parse(BYTECODE)
        .map_err(|error| Error::Load { what: "the bytecode".into(), reason: chain(&error) })?;
    names()
        .map(|name| {
            let map = object.maps.get(&name).ok_or_else(|| Error::Load {
                what: format!("map {name}"),
                reason: "the bytecode does not define it".into(),
            })?;
            let shape = Shape {
                kind: map.map_type(),
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries: capacities.get(&name).copied().unwrap_or_else(|| map.max_entries()),
                flags: map.map_flags() | added_flags(map.map_type()),
            };
            Ok((name, shape))
        })
        .collect()
}

/// Flags that the kernel adds to those that a map is made with: programs must not write into maps of
/// devices.
fn added_flags(kind: u32) -> u32 {
    if kind == MapType::DevMapHash as u32 { BPF_F_RDONLY_PROG } else { 0 }
}

/// Refuses pinned maps of another shape; maps that are not pinned yet are fine, and so are those whose entries can move to one
/// of that size.
pub fn check_pinned(pins: &Pins, capacities: &Capacities) -> Result<(), Error> {
    for (name, wanted) in shapes(capacities)? {
        let path = pins.map(&name);
        if path.exists() {
            check_map(&name, path, &wanted, |found| Resize::allows(&name, found, wanted))?;
        }
    }
    Ok(())
}

/// Refuses what is pinned at `path` unless it is a map of that shape, or of another one that `may_differ`.
pub(super) fn check_map(
    name: &str,
    path: PathBuf,
    wanted: &Shape,
    may_differ: impl Fn(Shape) -> bool,
) -> Result<(), Error> {
    let info = MapInfo::from_pin(&path).map_err(|error| Error::map(name, &error))?;
    let found = Shape {
        kind: info.map_type().map_err(|error| Error::map(name, &error))? as u32,
        key_size: info.key_size(),
        value_size: info.value_size(),
        max_entries: info.max_entries(),
        flags: info.map_flags(),
    };
    if found != *wanted && !may_differ(found) {
        return Err(Error::ForeignMap { path, found: found.to_string(), wanted: wanted.to_string() });
    }
    Ok(())
}
