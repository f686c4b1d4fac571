//! What the live maps hold of some addresses, and its way into maps of one's own.

use std::{collections::BTreeSet, net::IpAddr, os::fd::AsFd as _};

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData},
};
use svclb_common::{
    FlowRecord,
    cell::Word64,
    flow::filter::{EraWord, note, place},
    fragment::{FragmentHead, FragmentKey},
    key::FlowKey,
    layout::map,
    line::Line,
    service::{Affinity, AffinityKey},
    snat::{PortsKey, PortsMemory},
};

use crate::{
    datapath::{
        Error,
        family::MapFamily,
        pins::Pins,
        tables::{element, open_array},
    },
    sys::{
        hash::batch,
        mapped::{Access, MappedArray, Shared},
    },
};

/// Entries that are read by one call.
const AT_ONCE: usize = 4096;

/// An entry of a flow table.
type Flow<A> = (FlowKey<A>, FlowRecord<A>);

/// What is known of some addresses.
pub(super) struct Memory<F: MapFamily> {
    flows: Vec<Flow<F::Addr>>,
    half_open: Vec<Flow<F::Addr>>,
    affinities: Vec<(AffinityKey<F::Addr>, Affinity)>,
    fragments: Vec<(FragmentKey<F::Addr>, FragmentHead)>,
    searches: Vec<(PortsKey<F::Addr>, PortsMemory)>,
}

impl<F: MapFamily> Memory<F> {
    /// Reads it.
    pub(super) fn read(pins: &Pins, ends: &BTreeSet<IpAddr>) -> Result<Self, Error> {
        let counts = |addr: F::Addr| ends.contains(&addr.into());
        let flow = |(key, record): &(FlowKey<F::Addr>, FlowRecord<F::Addr>)| {
            [key.src, key.dst, record.recipe.src, record.recipe.dst].into_iter().any(counts)
        };
        Ok(Self {
            flows: entries(pins, &F::map(map::FLOWS), flow)?,
            half_open: entries(pins, &F::map(map::HALF_OPEN), flow)?,
            affinities: entries(pins, &F::map(map::AFFINITIES), |(key, _): &(AffinityKey<_>, _)| {
                counts(key.client)
            })?,
            fragments: entries(pins, &F::map(map::FRAGMENTS), |(key, _): &(FragmentKey<_>, _)| {
                counts(key.src)
            })?,
            searches: entries(pins, &F::map(map::SEARCHES), |_| true)?,
        })
    }

    /// How many entries the largest of its tables has.
    pub(super) fn len(&self) -> usize {
        self.flows.len().max(self.half_open.len()).max(self.affinities.len()).max(self.fragments.len())
    }

    /// Writes it, and what of the live arrays belongs to it.
    pub(super) fn write(&self, pins: &Pins, ebpf: &mut Ebpf) -> Result<(), Error> {
        self.mark(ebpf)?;
        insert(ebpf, &F::map(map::FLOWS), &self.flows)?;
        insert(ebpf, &F::map(map::HALF_OPEN), &self.half_open)?;
        insert(ebpf, &F::map(map::AFFINITIES), &self.affinities)?;
        insert(ebpf, &F::map(map::FRAGMENTS), &self.fragments)?;
        insert(ebpf, &F::map(map::SEARCHES), &self.searches)?;
        for (key, _) in &self.searches {
            set(ebpf, map::SEARCHED, key.place(), 1_u32)?;
        }
        let live = open_array::<Word64>(pins, &F::map(map::ACTIVE), Access::Read)?;
        let own = own_array::<Word64>(ebpf, &F::map(map::ACTIVE))?;
        for (index, count) in live.iter().filter(|(_, count)| count.load() != 0) {
            if let Some(copy) = own.get(index) {
                copy.store(count.load());
            }
        }
        Ok(())
    }

    /// Leaves the marks without which nobody looks for these flows.
    fn mark(&self, ebpf: &Ebpf) -> Result<(), Error> {
        let filter = own_array::<Line>(ebpf, &F::map(map::FLOW_FILTER))?;
        let eras = own_array::<EraWord>(ebpf, &F::map(map::FLOW_ERAS))?;
        let eras = element(&eras, F::map(map::FLOW_ERAS), 0)?.read();
        for (key, _) in self.flows.iter().chain(&self.half_open) {
            let place = place(key);
            note(element(&filter, F::map(map::FLOW_FILTER), Line::of(place))?, place, eras);
        }
        Ok(())
    }
}

/// Entries of a pinned hash that count. The order in which the kernel would forget them does not change.
fn entries<K: aya::Pod, V: aya::Pod>(
    pins: &Pins,
    name: &str,
    counts: impl Fn(&(K, V)) -> bool,
) -> Result<Vec<(K, V)>, Error> {
    let data = MapData::from_pin(pins.map(name)).map_err(|error| Error::map(name, &error))?;
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let read = batch(data.fd().as_fd(), from, AT_ONCE)
            .map_err(|error| Error::Map { map: name.into(), reason: error.to_string() })?;
        found.extend(read.entries.into_iter().filter(&counts));
        match read.next {
            Some(next) => from = Some(next),
            None => return Ok(found),
        }
    }
}

fn own<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Map, Error> {
    ebpf.map_mut(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::Map { map: name.into(), reason: "the bytecode does not define it".into() }
}

fn insert<K: aya::Pod, V: aya::Pod>(ebpf: &mut Ebpf, name: &str, entries: &[(K, V)]) -> Result<(), Error> {
    let mut map = HashMap::<_, K, V>::try_from(own(ebpf, name)?).map_err(|error| Error::map(name, &error))?;
    entries
        .iter()
        .try_for_each(|(key, value)| map.insert(key, value, 0).map_err(|error| Error::map(name, &error)))
}

fn set<V: aya::Pod>(ebpf: &mut Ebpf, name: &str, index: u32, value: V) -> Result<(), Error> {
    let mut map = Array::<_, V>::try_from(own(ebpf, name)?).map_err(|error| Error::map(name, &error))?;
    map.set(index, value, 0).map_err(|error| Error::map(name, &error))
}

/// Maps an array of the replica's own.
fn own_array<T: Shared>(ebpf: &Ebpf, name: &str) -> Result<MappedArray<T>, Error> {
    let Some(Map::Array(data)) = ebpf.map(name) else { return Err(missing(name)) };
    let failed = |reason: String| Error::Map { map: name.into(), reason };
    let len = data.info().map_err(|error| failed(error.to_string()))?.max_entries();
    MappedArray::new(data.fd().as_fd(), len, Access::Write).map_err(|error| failed(error.to_string()))
}
