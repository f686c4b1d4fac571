//! Flows that the stack translates: entries that leave their packets as they are.
//!
//! Such a flow has the two entries that any other has, by the tuples that its packets carry at the client's device, and they
//! change nothing. So programs see it live and end, and neither choose a backend for it nor give its tuple away. If
//! the stack put the node's address in place of the client's, two more entries keep that port from being chosen again.

use aya::maps::MapError;
use nix::time::{ClockId, clock_gettime};
use svclb_common::{
    family::{Address, V4, V6},
    flow::{Action, Direction, FlowEntry, FlowRecord, Home, Owner, Recipe, Tick, Tuple},
    key::{FlowKey, Hook, SocketKey, SocketWay},
    layout::map,
    service::{Affinity, AffinityKey},
    socket::{SocketPeer, inherited_cookie},
    wire::{TcpFlags, Transport},
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    sweep::FlowMaps,
    tables::{Hash, absent, open_hash},
};
use crate::takeover::{Inherited, Stage};

/// A cell that no service has: nobody counts by it.
const NOBODY: u32 = u32::MAX;

/// What else is known of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Ties {
    /// The generation of its backend.
    pub generation: u32,
    /// Whether clients of its service come back to their backends.
    pub has_affinity: bool,
    /// Whether an entry of svclb's own gives way: the flow was there before it.
    pub replaces: bool,
}

/// The tables of both families.
pub struct InheritedFlows {
    v4: Maps<V4>,
    v6: Maps<V6>,
}

struct Maps<F: MapFamily> {
    flows: FlowMaps<F>,
    sockets: Hash<SocketKey<F::Addr>, SocketPeer<F::Addr>>,
    affinities: Hash<AffinityKey<F::Addr>, Affinity>,
}

impl InheritedFlows {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self { v4: Maps::open(pins)?, v6: Maps::open(pins)? })
    }

    /// Writes what keeps programs off the flow.
    pub fn write(&mut self, flow: &Inherited, ties: Ties) -> Result<(), Error> {
        if flow.frontend.is_ipv4() { self.v4.write(flow, ties) } else { self.v6.write(flow, ties) }
    }

    /// Leaves no sockets alone but those of `flows`: an earlier agent may have known others.
    pub fn keep_sockets<'a>(
        &mut self,
        flows: impl Iterator<Item = &'a Inherited> + Clone,
    ) -> Result<(), Error> {
        self.v4.keep_sockets(flows.clone())?;
        self.v6.keep_sockets(flows)
    }

    /// Takes it away.
    pub fn remove(&mut self, flow: &Inherited) -> Result<(), Error> {
        if flow.frontend.is_ipv4() { self.v4.remove(flow) } else { self.v6.remove(flow) }
    }
}

impl<F: MapFamily> Maps<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            flows: FlowMaps::open(pins)?,
            sockets: open_hash(pins, &F::map(map::SOCKETS))?,
            affinities: open_hash(pins, &F::map(map::AFFINITIES))?,
        })
    }

    fn write(&mut self, flow: &Inherited, ties: Ties) -> Result<(), Error> {
        let Some(keys) = Keys::<F>::of(flow) else { return Ok(()) };
        let owner =
            Owner { service: flow.service, backend: flow.cell.unwrap_or(0), generation: ties.generation };
        let home = if flow.stage == Stage::Established { Home::Flows } else { Home::HalfOpen };
        let (client, backend) = flags(flow.stage);
        if let Some(key) = keys.towards {
            let answer = key.reversed(Hook::Egress);
            self.put(home, &answer, &kept(&answer, Direction::Reply, owner, backend), ties.replaces)?;
            self.put(home, &key, &kept(&key, Direction::Original, owner, client), ties.replaces)?;
        }
        if let Some(key) = keys.answers {
            let nobody = Owner { service: NOBODY, backend: 0, generation: 0 };
            for key in [key, key.reversed(Hook::Egress)] {
                let entry = kept(&key, Direction::Reply, nobody, Some(TcpFlags::ACK));
                // It is no flow of its own.
                entry.life.leaves();
                self.put(home, &key, &entry, ties.replaces)?;
            }
        }
        if let Some(key) = keys.socket {
            let peer = SocketPeer {
                addr: key.addr,
                port: key.port,
                pad: 0,
                backend: owner.backend,
                generation: owner.generation,
            };
            let written = self.sockets.insert(key, peer, 0);
            written.map_err(|error| Error::map(F::map(map::SOCKETS), &error))?;
        }
        if ties.has_affinity && owner.backend != 0 {
            let (name, client) =
                (F::map(map::AFFINITIES), if flow.is_host { F::Addr::ZERO } else { keys.client });
            let key = AffinityKey { service: flow.service, client };
            let affinity = Affinity {
                backend: owner.backend,
                generation: owner.generation,
                seen: now(),
                place: 0,
                pad: 0,
            };
            crate::sys::hash::insert(super::sweep::fd(&self.affinities), &key, &affinity)
                .map_err(|error| Error::map(name, &error))?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        home: Home,
        key: &FlowKey<F::Addr>,
        entry: &FlowEntry<F::Addr>,
        replaces: bool,
    ) -> Result<(), Error> {
        use svclb_common::collect::FlowTables as _;
        match self.flows.find(key)? {
            Some((_, found)) if !replaces || is_kept(key, &found) => Ok(()),
            Some(_) => self.flows.replace(key, &FlowRecord::from(entry)),
            None => self.flows.put_back(home, key, &FlowRecord::from(entry)),
        }
    }

    fn keep_sockets<'a>(&mut self, flows: impl Iterator<Item = &'a Inherited>) -> Result<(), Error> {
        let kept: Vec<_> = flows.filter_map(|flow| Keys::<F>::of(flow)?.socket).collect();
        let failed = |error: MapError| Error::map(F::map(map::SOCKETS), &error);
        let keys: Vec<_> = self.sockets.keys().filter_map(Result::ok).collect();
        for key in keys.into_iter().filter(|key| is_inherited(key.cookie) && !kept.contains(key)) {
            self.sockets.remove(&key).or_else(absent).map_err(failed)?;
        }
        Ok(())
    }

    fn remove(&mut self, flow: &Inherited) -> Result<(), Error> {
        use svclb_common::collect::FlowTables as _;
        let Some(keys) = Keys::<F>::of(flow) else { return Ok(()) };
        // The client's first, as the collector does.
        for key in [keys.towards, keys.answers].into_iter().flatten() {
            for key in [key, key.reversed(Hook::Egress)] {
                if let Some((home, found)) = self.flows.find(&key)?
                    && is_kept(&key, &found)
                {
                    // One that a packet uses at this moment is met by the collector.
                    self.flows.take(home, &key, &found)?;
                }
            }
        }
        match keys.socket {
            Some(key) => self
                .sockets
                .remove(&key)
                .or_else(absent)
                .map_err(|error| Error::map(F::map(map::SOCKETS), &error)),
            None => Ok(()),
        }
    }
}

/// Under what a flow is found.
struct Keys<F: MapFamily> {
    client: F::Addr,
    /// What the client sends, where a program sees it.
    towards: Option<FlowKey<F::Addr>>,
    /// What a backend answers to the node.
    answers: Option<FlowKey<F::Addr>>,
    /// What a socket call names.
    socket: Option<SocketKey<F::Addr>>,
}

impl<F: MapFamily> Keys<F> {
    fn of(flow: &Inherited) -> Option<Self> {
        let Inherited { client, frontend, source, backend, .. } = *flow;
        let key = |src: std::net::SocketAddr, dst: std::net::SocketAddr| {
            Some(FlowKey {
                src: F::address(src.ip())?,
                dst: F::address(dst.ip())?,
                sport: src.port().to_be(),
                dport: dst.port().to_be(),
                proto: flow.protocol.number(),
                hook: Hook::Ingress as u8,
                pad: 0,
            })
        };
        let (towards, answers) = (key(client, frontend)?, key(backend, source)?);
        let cookie = inherited_cookie(flow.is_host, towards.sport);
        let socket = SocketKey::new(cookie, towards.dst, towards.dport, Transport::Udp, SocketWay::Forward);
        Some(Self {
            client: towards.src,
            towards: (!flow.is_host).then_some(towards),
            answers: flow.takes_port.then_some(answers),
            socket: flow.is_by_socket.then_some(socket),
        })
    }
}

/// Whether that number stands in place of a socket.
fn is_inherited(cookie: [u32; 2]) -> bool {
    cookie[1] == u32::MAX
}

/// An entry that leaves packets of `key` as they are.
fn kept<A: Address>(key: &FlowKey<A>, direction: Direction, owner: Owner, flags: Option<u8>) -> FlowEntry<A> {
    let mut recipe = Recipe::empty(key);
    let same = Tuple { src: key.src, dst: key.dst, sport: key.sport, dport: key.dport };
    let peer_hook = if key.hook == Hook::Ingress as u8 { Hook::Egress } else { Hook::Ingress };
    recipe.fill(key, same, direction, Action::Pass, peer_hook, owner);
    let now = now();
    let entry = FlowEntry::new(recipe, now);
    if let Some(flags) = flags {
        entry.touch(TcpFlags(flags), Tick::of(0), || now);
    }
    entry
}

/// Whether the entry leaves packets of `key` as they are.
pub(super) fn is_kept<A: Address>(key: &FlowKey<A>, found: &FlowRecord<A>) -> bool {
    let recipe = &found.recipe;
    !recipe.is_one_way()
        && (recipe.src, recipe.dst, recipe.sport, recipe.dport) == (key.src, key.dst, key.sport, key.dport)
}

/// A record that leaves packets of `key` as they are, and has lived as `record` has.
pub(super) fn keep<A: Address>(key: &FlowKey<A>, record: &FlowRecord<A>) -> FlowRecord<A> {
    let owner = Owner {
        service: record.recipe.service,
        backend: record.recipe.backend,
        generation: record.recipe.generation,
    };
    let recipe = FlowRecord::from(&kept(key, Direction::Original, owner, None)).recipe;
    FlowRecord { recipe, ..*record }
}

/// What client and backend have sent last.
fn flags(stage: Stage) -> (Option<u8>, Option<u8>) {
    match stage {
        Stage::Begun => (Some(TcpFlags::SYN), None),
        Stage::Answered => (Some(TcpFlags::SYN), Some(TcpFlags::SYN)),
        Stage::Established => (Some(TcpFlags::ACK), Some(TcpFlags::ACK)),
    }
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds, which is what programs read.
pub(super) fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |now| u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}
