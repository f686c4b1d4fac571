//! Giving the flows of the tables to the stack, each with the translation that it has.
//!
//! Connection tracking may know a flow already, as the translated packets that it has seen, and the kernel gives whoever
//! comes second another port. So a flow changes hands in one moment, in which its client's packets are dropped: the
//! table's entry says that it is another flow's, which is what programs see when a table has given its memory away.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
};

use svclb_common::{
    collect::{FlowTables as _, Judge},
    family::{V4, V6},
    flow::{FlowRecord, FlowState, Recipe, Timeouts},
    key::FlowKey,
};

use super::{
    Error,
    family::MapFamily,
    flows,
    inherited::{is_kept, keep, now},
    pins::Pins,
    ranges::RangeMaps,
    readback,
    sweep::FlowMaps,
    tables::Tables,
};
use crate::{
    model::Family,
    netfilter::{
        conntrack::{By, Conntrack},
        entry::{ASSURED, CONFIRMED, Entry, SEEN_REPLY, TcpState, Tuple},
    },
    plan::{MapOp, TableOp},
    sys::mapped::Access,
};

/// How often a flow is offered: its packets may bring an entry back that was in the way.
const TRIES: usize = 16;

/// What became of the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// The stack has them.
    pub flows: usize,
    /// They travel in other packets to their backend, whose node answers by itself (`dsr`).
    pub tunnelled: usize,
    /// Associations of SCTP, whose tags nobody knows.
    pub sctp: usize,
    /// Another connection has one of their tuples.
    pub clashes: usize,
}

/// Leaves new flows to the stack, and gives it those that live.
pub fn hand_over(pins: &Pins, conntrack: &Conntrack) -> Result<Handed, Error> {
    let mut tables = Tables::open(pins, Access::Write)?;
    let timeouts = flows::timeouts(pins)?;
    close(pins, &mut tables)?;
    let mut handed = Handed::default();
    // The second time meets what programs have moved from table to table meanwhile.
    for is_last in [false, true] {
        let mut round = Handed { flows: handed.flows, ..Handed::default() };
        Hand::<V4>::open(pins, conntrack, timeouts, &mut round)?.all(pins)?;
        Hand::<V6>::open(pins, conntrack, timeouts, &mut round)?.all(pins)?;
        handed = round;
        if is_last {
            break;
        }
    }
    Ok(handed)
}

/// Takes all frontends away, so that no flow begins. First what refuses whoever names an address without one.
fn close(pins: &Pins, tables: &mut Tables) -> Result<(), Error> {
    RangeMaps::open(pins)?.apply(&[].into(), |_| None, tables)?;
    let raw = readback::read(tables)?;
    for (family, raw) in [(Family::V4, raw.v4), (Family::V6, raw.v6)] {
        for key in raw.frontends.into_keys() {
            tables.apply(&MapOp::Table { family, op: TableOp::RemoveFrontend { key } })?;
        }
    }
    Ok(())
}

/// The flows of a family, and who takes them.
struct Hand<'a, F: MapFamily> {
    maps: FlowMaps<F>,
    conntrack: &'a Conntrack,
    judge: Judge,
    handed: &'a mut Handed,
}

type Key<F> = FlowKey<<F as svclb_common::family::Family>::Addr>;
type Record<F> = FlowRecord<<F as svclb_common::family::Family>::Addr>;

impl<'a, F: MapFamily> Hand<'a, F> {
    fn open(
        pins: &Pins,
        conntrack: &'a Conntrack,
        timeouts: Timeouts,
        handed: &'a mut Handed,
    ) -> Result<Self, Error> {
        Ok(Self { maps: FlowMaps::open(pins)?, conntrack, judge: Judge { now: now(), timeouts }, handed })
    }

    fn all(&mut self, pins: &Pins) -> Result<(), Error> {
        let (mut there, mut back) = (Vec::new(), HashMap::new());
        flows::each::<F>(pins, |key, record, _| {
            if record.recipe.is_original() {
                there.push((key, record));
            } else {
                back.insert(ends::<F>(&key), record);
            }
        })?;
        for (key, record) in there.into_iter().filter(|(key, record)| !is_kept(key, record)) {
            let peer = back.get(&ends::<F>(&record.recipe.peer())).filter(|peer| peer.recipe.names(&key));
            let state = record.flow_state(peer);
            let is_current = self.maps.generation(record.recipe.backend) == Some(record.recipe.generation);
            if self.judge.is_over(state, record.idle(peer, self.judge.now), is_current) {
                continue;
            }
            if record.recipe.is_one_way() {
                self.handed.tunnelled += 1;
                continue;
            }
            match tracked(state, is_current) {
                Tracked::As(status, tcp) => {
                    let timeout = self.judge.timeouts.of(state);
                    self.give(&key, &record, Entry { status, timeout, tcp, ..entry::<F>(&key, &record) })?;
                }
                Tracked::Sctp => self.handed.sctp += 1,
                Tracked::Not => {}
            }
        }
        Ok(())
    }

    fn give(&mut self, key: &Key<F>, record: &Record<F>, entry: Entry) -> Result<(), Error> {
        let answer = record.recipe.peer();
        let mut nobody = *record;
        // For packets of the other direction, and so for none that come.
        nobody.recipe = Recipe::empty(&answer);
        self.maps.replace(key, &nobody)?;
        if let Err(error) = self.enter(&entry) {
            self.maps.replace(key, record)?;
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(Error::Load { what: "connection tracking".into(), reason: error.to_string() });
            }
            self.handed.clashes += 1;
            return Ok(());
        }
        self.maps.replace(key, &keep(key, record))?;
        self.maps.remove(&answer)?;
        self.handed.flows += 1;
        Ok(())
    }

    fn enter(&self, entry: &Entry) -> io::Result<()> {
        let mut result = Ok(());
        for _ in 0..TRIES {
            // What the stack knows of the same packets, translated and not.
            self.conntrack.delete(By::Reply(entry.reply))?;
            self.conntrack.delete(By::Original(entry.original))?;
            result = self.conntrack.create(entry);
            match &result {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                _ => break,
            }
        }
        result
    }
}

/// What connection tracking is told of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracked {
    /// Its status, and where TCP stands.
    As(u32, Option<TcpState>),
    /// It cannot be told of it.
    Sctp,
    /// Nothing: the flow is over, or begins anew by itself.
    Not,
}

fn tracked(state: FlowState, is_current: bool) -> Tracked {
    const BOTH: u32 = CONFIRMED | SEEN_REPLY | ASSURED;
    match state {
        FlowState::SynSent | FlowState::TimeWait | FlowState::Closed | FlowState::SctpClosed => Tracked::Not,
        FlowState::SynReceived => Tracked::As(CONFIRMED | SEEN_REPLY, Some(TcpState::SynReceived)),
        // Whoever goes on after a reset has not been reset.
        FlowState::Established | FlowState::Reset => Tracked::As(BOTH, Some(TcpState::Established)),
        FlowState::FinWait | FlowState::CloseWait => Tracked::As(BOTH, Some(TcpState::FinWait)),
        FlowState::UdpNew | FlowState::UdpStream if !is_current => Tracked::Not,
        FlowState::UdpNew => Tracked::As(CONFIRMED, None),
        FlowState::UdpStream => Tracked::As(BOTH, None),
        FlowState::SctpNew | FlowState::SctpEstablished => Tracked::Sctp,
    }
}

fn end<F: MapFamily>(addr: F::Addr, port: u16) -> SocketAddr {
    SocketAddr::new(Into::<IpAddr>::into(addr), u16::from_be(port))
}

/// The key, for tables of the agent's own.
fn ends<F: MapFamily>(key: &Key<F>) -> (SocketAddr, SocketAddr, u8, u8) {
    (end::<F>(key.src, key.sport), end::<F>(key.dst, key.dport), key.proto, key.hook)
}

/// The translations of a flow.
fn entry<F: MapFamily>(key: &Key<F>, record: &Record<F>) -> Entry {
    let (recipe, protocol) = (&record.recipe, key.proto);
    Entry {
        original: Tuple { src: end::<F>(key.src, key.sport), dst: end::<F>(key.dst, key.dport), protocol },
        reply: Tuple {
            src: end::<F>(recipe.dst, recipe.dport),
            dst: end::<F>(recipe.src, recipe.sport),
            protocol,
        },
        status: CONFIRMED,
        timeout: 0,
        tcp: None,
        zone: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_that_lives_is_told_of() {
        for state in FlowState::ALL {
            let is_told = matches!(tracked(state, true), Tracked::As(..));
            let is_over = state.has_ended() || state == FlowState::SctpClosed;
            // A SYN that nobody has answered is repeated, and goes by the rules then.
            let is_repeated = state == FlowState::SynSent;
            let is_sctp = tracked(state, true) == Tracked::Sctp;
            assert_eq!(
                is_told,
                !is_over && !is_repeated && !is_sctp || state == FlowState::Reset,
                "{state:?}"
            );
        }
        for state in [FlowState::UdpNew, FlowState::UdpStream] {
            assert_eq!(tracked(state, false), Tracked::Not, "its backend is gone");
        }
        assert_ne!(tracked(FlowState::Established, false), Tracked::Not, "TCP stays with its backend");
    }
}
