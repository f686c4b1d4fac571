//! Walking through the tables that programs write, a few entries at a time, and taking away what is over.

use std::{
    collections::HashSet,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::maps::{IterableMap as _, MapError, MapInfo};
use svclb_common::{
    collect::{FlowTables, Judge, Met},
    flow::{
        FlowRecord, FlowState, Home, Timeouts,
        filter::{self, EraWord, Eras, place},
    },
    key::{FlowKey, SocketKey},
    layout::map,
    line::Line,
    service::{Affinity, AffinityKey, BackendCell, BackendId, Policy, ServiceCell, ServiceId},
    socket::SocketPeer,
    wire::Transport,
};

use super::{
    Error,
    clock::now,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, absent, open_array, open_hash},
};
use crate::sys::{
    hash::{self, Batch, Bucket},
    mapped::{Access, MappedArray},
};

/// Entries that a step looks at. Each costs up to six system calls, so that a step takes less than a millisecond; in an
/// empty table the kernel looks for the next entry on its own, at a nanosecond or two a place.
const STEP: usize = 128;

/// What a walk through all tables of a family found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Flows that are left, by the number of their [`FlowState`].
    pub flows: [u64; FlowState::COUNT],
    /// Entries of flows that were over.
    pub expired: u64,
    /// Flows whose other half the table had forgotten, which will be made whole.
    pub halves: u64,
    /// Translations at sockets whose backend is gone.
    pub sockets: u64,
    /// Clients that come back to nobody any more.
    pub affinities: u64,
}

/// The table that a walk is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Flows,
    HalfOpen,
    Sockets,
    Affinities,
}

type Flows<F> = Hash<FlowKey<Addr<F>>, FlowRecord<Addr<F>>>;
type Addr<F> = <F as svclb_common::family::Family>::Addr;

/// A walk through the tables of a family.
pub struct Sweep<F: MapFamily> {
    tables: FlowMaps<F>,
    sockets: Hash<SocketKey<F::Addr>, SocketPeer<F::Addr>>,
    affinities: Hash<AffinityKey<F::Addr>, Affinity>,
    services: MappedArray<ServiceCell>,
    timeouts: Timeouts,
    stage: Stage,
    next: Option<Bucket>,
    walked: Walked,
    /// Backends that the last walk found gone, as sockets knew them. Datagrams that were under way then have arrived.
    gone: HashSet<(BackendId, u32)>,
    /// The same of this walk.
    going: HashSet<(BackendId, u32)>,
}

impl<F: MapFamily> Sweep<F> {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins, timeouts: Timeouts) -> Result<Self, Error> {
        Ok(Self {
            tables: FlowMaps::open(pins)?,
            sockets: open_hash(pins, &F::map(map::SOCKETS))?,
            affinities: open_hash(pins, &F::map(map::AFFINITIES))?,
            services: open_array(pins, &F::map(map::SERVICES), Access::Read)?,
            timeouts,
            stage: Stage::Flows,
            next: None,
            walked: Walked::default(),
            gone: HashSet::new(),
            going: HashSet::new(),
        })
    }

    /// Whether these are the flow tables that are pinned: those of another size may have taken their place.
    pub fn is_current(&self, pins: &Pins) -> bool {
        [Home::Flows, Home::HalfOpen].into_iter().all(|home| {
            let pinned = MapInfo::from_pin(pins.map(&FlowMaps::<F>::name(home))).map(|info| info.id());
            let opened = self.tables.map(home).map().info().map(|info| info.id());
            matches!((pinned, opened), (Ok(pinned), Ok(opened)) if pinned == opened)
        })
    }

    /// Goes a step on. Tells what the walk came to when it is complete; the next step begins another one.
    pub fn step(&mut self) -> Result<Option<Walked>, Error> {
        // From before anything is read: what is used meanwhile is younger.
        let judge = Judge { now: now(), timeouts: self.timeouts };
        if self.stage == Stage::Flows && self.next.is_none() {
            self.tables.filter.turn(Eras::walk);
        }
        match self.next_of(judge) {
            Ok(Some(next)) => {
                self.next = Some(next);
                return Ok(None);
            }
            Ok(None) => self.next = None,
            Err(error) => {
                self.begin();
                return Err(error);
            }
        }
        self.stage = match self.stage {
            Stage::Flows => Stage::HalfOpen,
            Stage::HalfOpen => {
                self.tables.filter.turn(Eras::walked);
                Stage::Sockets
            }
            Stage::Sockets => Stage::Affinities,
            Stage::Affinities => return Ok(Some(self.begin())),
        };
        Ok(None)
    }

    /// Begins another walk, and tells what the last one came to.
    fn begin(&mut self) -> Walked {
        self.stage = Stage::Flows;
        self.next = None;
        self.gone = std::mem::take(&mut self.going);
        std::mem::take(&mut self.walked)
    }

    fn next_of(&mut self, judge: Judge) -> Result<Option<Bucket>, Error> {
        match self.stage {
            Stage::Flows => self.flows(judge, Home::Flows),
            Stage::HalfOpen => self.flows(judge, Home::HalfOpen),
            Stage::Sockets => self.sockets(),
            Stage::Affinities => self.affinities(judge),
        }
    }

    fn flows(&mut self, judge: Judge, home: Home) -> Result<Option<Bucket>, Error> {
        let name = FlowMaps::<F>::name(home);
        let Batch { entries, next } = batch(self.tables.map(home), &name, self.next, STEP)?;
        for (key, record) in entries {
            self.tables.filter.renew(&key);
            let Met { state, removed, is_demoted } = judge.meet(&self.tables, &key, &record)?;
            if let Some(state) = state {
                self.walked.flows[state as usize] += 1;
            }
            self.walked.expired += u64::from(removed);
            self.walked.halves += u64::from(is_demoted);
        }
        Ok(next)
    }

    /// A translation has no time of its own. It goes when its backend had gone at the last walk already: what UDP
    /// sends next selects anew. TCP's stay for the names of connections that live on; they go with their table's oldest.
    fn sockets(&mut self) -> Result<Option<Bucket>, Error> {
        let name = F::map(map::SOCKETS);
        let Batch { entries, next } = batch(&self.sockets, &name, self.next, STEP)?;
        for (key, peer) in entries {
            let is_gone = self.tables.generation(peer.backend) != Some(peer.generation);
            if key.proto != Transport::Udp.number() || !is_gone {
                continue;
            }
            let backend = (peer.backend, peer.generation);
            if !self.gone.contains(&backend) {
                self.going.insert(backend);
            } else if take(&self.sockets, &name, &key, &peer)? {
                self.walked.sockets += 1;
            }
        }
        Ok(next)
    }

    fn affinities(&mut self, judge: Judge) -> Result<Option<Bucket>, Error> {
        let name = F::map(map::AFFINITIES);
        let Batch { entries, next } = batch(&self.affinities, &name, self.next, STEP)?;
        for (key, affinity) in entries {
            if judge.has_left(&affinity, self.affinity(key.service))
                && take(&self.affinities, &name, &key, &affinity)?
            {
                self.walked.affinities += 1;
            }
        }
        Ok(next)
    }

    /// Seconds for which clients of a service come back.
    fn affinity(&self, service: ServiceId) -> u32 {
        self.services.get(service).map_or(0, |cell| Policy::unpack(cell.policy.load()).affinity)
    }
}

/// The marks of tuples that may be in a flow table.
pub(super) struct Filter {
    lines: MappedArray<Line>,
    eras: MappedArray<EraWord>,
}

impl Filter {
    /// Opens the pinned maps.
    pub(super) fn open<F: MapFamily>(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            lines: open_array(pins, &F::map(map::FLOW_FILTER), Access::Write)?,
            eras: open_array(pins, &F::map(map::FLOW_ERAS), Access::Write)?,
        })
    }

    /// Says what counts from now on.
    fn turn(&self, turn: impl FnOnce(Eras) -> Eras) {
        if let Some(word) = self.eras.get(0) {
            word.write(turn(word.read()));
        }
    }

    /// Renews the mark of an entry that is there, or is about to be.
    pub(super) fn renew<A: svclb_common::family::Address>(&self, key: &FlowKey<A>) {
        let place = place(key);
        if let (Some(word), Some(line)) = (self.eras.get(0), self.lines.get(Line::of(place))) {
            filter::note(line, place, word.read());
        }
    }
}

/// The tables of flows, and what they are judged by.
pub(super) struct FlowMaps<F: MapFamily> {
    flows: Flows<F>,
    half_open: Flows<F>,
    backends: MappedArray<BackendCell<F::Addr>>,
    filter: Filter,
}

impl<F: MapFamily> FlowMaps<F> {
    /// Opens the pinned maps.
    pub(super) fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            flows: open_hash(pins, &F::map(map::FLOWS))?,
            half_open: open_hash(pins, &F::map(map::HALF_OPEN))?,
            backends: open_array(pins, &F::map(map::BACKENDS), Access::Read)?,
            filter: Filter {
                lines: open_array(pins, &F::map(map::FLOW_FILTER), Access::Write)?,
                eras: open_array(pins, &F::map(map::FLOW_ERAS), Access::Write)?,
            },
        })
    }

    /// Puts another entry in place of the one under `key`, wherever that is. Programs may move it meanwhile: then the
    /// other table has it as well, which is asked second.
    pub(super) fn replace(
        &mut self,
        key: &FlowKey<F::Addr>,
        record: &FlowRecord<F::Addr>,
    ) -> Result<(), Error> {
        self.filter.renew(key);
        let failed = |name| move |error: MapError| Error::map(F::map(name), &error);
        self.flows.insert(key, record, 0).map_err(failed(map::FLOWS))?;
        self.half_open.remove(key).or_else(absent).map_err(failed(map::HALF_OPEN))
    }

    /// Forgets the entry under `key`, wherever it is.
    pub(super) fn remove(&mut self, key: &FlowKey<F::Addr>) -> Result<(), Error> {
        let failed = |name| move |error: MapError| Error::map(F::map(name), &error);
        self.flows.remove(key).or_else(absent).map_err(failed(map::FLOWS))?;
        self.half_open.remove(key).or_else(absent).map_err(failed(map::HALF_OPEN))
    }

    fn map(&self, home: Home) -> &Flows<F> {
        match home {
            Home::Flows => &self.flows,
            Home::HalfOpen => &self.half_open,
        }
    }

    fn name(home: Home) -> String {
        F::map(match home {
            Home::Flows => map::FLOWS,
            Home::HalfOpen => map::HALF_OPEN,
        })
    }
}

impl<F: MapFamily> FlowTables<F::Addr> for FlowMaps<F> {
    type Error = Error;

    fn find(&self, key: &FlowKey<F::Addr>) -> Result<Option<(Home, FlowRecord<F::Addr>)>, Error> {
        // Another CPU may move it between the two looks.
        for home in [Home::Flows, Home::HalfOpen, Home::Flows] {
            match self.map(home).get(key, 0) {
                Ok(record) => return Ok(Some((home, record))),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(Error::map(Self::name(home), &error)),
            }
        }
        Ok(None)
    }

    fn take(&self, home: Home, key: &FlowKey<F::Addr>, judged: &FlowRecord<F::Addr>) -> Result<bool, Error> {
        // Before it is written again, if it must be.
        self.filter.renew(key);
        take(self.map(home), &Self::name(home), key, judged)
    }

    fn put_back(
        &self,
        home: Home,
        key: &FlowKey<F::Addr>,
        record: &FlowRecord<F::Addr>,
    ) -> Result<(), Error> {
        self.filter.renew(key);
        let written = hash::insert(fd(self.map(home)), key, record);
        written.map(drop).map_err(|error| Error::map(Self::name(home), &error))
    }

    fn generation(&self, backend: BackendId) -> Option<u32> {
        self.backends.get(backend).map(|cell| cell.generation.load())
    }
}

/// A map's descriptor.
pub(super) fn fd<K: aya::Pod, V: aya::Pod>(map: &Hash<K, V>) -> BorrowedFd<'_> {
    map.map().fd().as_fd()
}

/// Some entries of a map.
pub(super) fn batch<K: aya::Pod, V: aya::Pod>(
    map: &Hash<K, V>,
    name: &str,
    from: Option<Bucket>,
    count: usize,
) -> Result<Batch<K, V>, Error> {
    hash::batch(fd(map), from, count).map_err(|error| Error::map(name, &error))
}

/// Takes an entry away if its value still is `judged`; one that was used meanwhile is put back as it is.
pub(super) fn take<K: aya::Pod, V: aya::Pod + PartialEq>(
    map: &Hash<K, V>,
    name: &str,
    key: &K,
    judged: &V,
) -> Result<bool, Error> {
    let failed = |error| Error::map(name, &error);
    match hash::take::<K, V>(fd(map), key).map_err(failed)? {
        Some(value) if value == *judged => Ok(true),
        Some(value) => hash::insert(fd(map), key, &value).map(|_is_written| false).map_err(failed),
        None => Ok(false),
    }
}
