//! A packet and a call through the Service of the agent's own, by the hooks that everybody's go through.
//!
//! The packet enters by a device as one from the wire does, passes whatever programs are there, and is translated. It is
//! addressed to a station that the device is not, so that the stack has no part in it: nothing is routed, answered, tracked
//! or sent. The call connects a datagram socket, for which nothing is sent either. What happened is told by the programs'
//! own count.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use aya::maps::MapError;
use svclb_common::{
    family::{Address, V4, V6},
    key::{FlowKey, FrontendKey, Hook},
    layout::map,
    service::{Frontend, ServiceId},
    state::AgentState,
    wire::Transport,
};
use tokio::time::{Instant, sleep};

use self::frame::frame;
use super::{
    Error,
    attach::uplink_of,
    counters::TrafficMap,
    family::MapFamily,
    pins::Pins,
    tables::{absent, open_array, open_hash},
};
use crate::{
    model::{
        Family,
        self_probe::{PORT, TARGET, address, client},
    },
    sys::{inject::Injector, mapped::Access},
};

mod frame;

/// For how long the programs' count is looked at, and how often.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

/// Ports that packets come from, in turn: each opens a flow.
const PORTS: std::ops::Range<u16> = 40_000..60_000;

/// Why a probe says nothing about the datapath.
#[derive(Debug, thiserror::Error)]
pub enum Unprobed {
    /// The Service is not in the tables.
    #[error("the tables do not have the Service of the self-probe")]
    NoService,
    /// The device takes no such frame.
    #[error("the device takes no frame: {0}")]
    Device(io::Error),
    /// There is no such socket.
    #[error("no socket of this family: {0}")]
    Socket(io::Error),
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] Error),
}

/// Sends packets and calls.
pub struct SelfProbe {
    pins: Pins,
    injector: Injector,
    port: u16,
    /// One for each family, which is connected again each time: so it takes one place in the tables.
    sockets: [Option<UdpSocket>; 2],
}

impl SelfProbe {
    /// Loads what lets devices receive frames.
    pub fn new(pins: &Pins) -> io::Result<Self> {
        Ok(Self { pins: pins.clone(), injector: Injector::load()?, port: PORTS.start, sockets: [None, None] })
    }

    /// Whether the tables hold what was asked for: before, there may be nothing to be probed.
    pub fn is_due(&self) -> bool {
        let state = open_array::<AgentState>(&self.pins, map::STATE, Access::Read);
        state.is_ok_and(|state| state.get(0).is_some_and(|state| state.synced.load() == 1))
    }

    /// The uplinks, by their marks.
    pub fn uplinks(&self) -> Vec<u32> {
        let names = self.pins.link_names().unwrap_or_default();
        names.iter().filter_map(|name| uplink_of(name)).collect()
    }

    /// Whether there are programs at sockets.
    pub fn has_sockets(&self) -> bool {
        let names = self.pins.link_names().unwrap_or_default();
        names.iter().any(|name| name.starts_with("cgroup_"))
    }

    /// Lets a device receive a packet for the Service. How long it took until the programs had counted it; none if they
    /// did not.
    pub async fn packet(&mut self, ifindex: u32, family: Family) -> Result<Option<Duration>, Unprobed> {
        self.port = if self.port + 1 < PORTS.end { self.port + 1 } else { PORTS.start };
        match family {
            Family::V4 => self.packet_of::<V4>(ifindex).await,
            Family::V6 => self.packet_of::<V6>(ifindex).await,
        }
    }

    async fn packet_of<F: MapFamily>(&self, ifindex: u32) -> Result<Option<Duration>, Unprobed> {
        let (cell, counters) = self.counters::<F>()?;
        let before = counters.of(cell)?.packets;
        let begun = Instant::now();
        self.injector.receive(ifindex, &frame(F::MODEL, self.port)).map_err(Unprobed::Device)?;
        let took = loop {
            if counters.of(cell)?.packets != before {
                break Some(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                break None;
            }
            sleep(PAUSE).await;
        };
        self.forget::<F>()?;
        Ok(took)
    }

    /// Connects a datagram socket to the Service. How long it took if the programs have counted it; none if they did not.
    pub fn call(&mut self, family: Family) -> Result<Option<Duration>, Unprobed> {
        match family {
            Family::V4 => self.call_of::<V4>(0),
            Family::V6 => self.call_of::<V6>(1),
        }
    }

    fn call_of<F: MapFamily>(&mut self, number: usize) -> Result<Option<Duration>, Unprobed> {
        let (cell, counters) = self.counters::<F>()?;
        let to = address(F::MODEL);
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = match &mut self.sockets[number] {
            Some(socket) => socket,
            none => none.insert(UdpSocket::bind(SocketAddr::new(any, 0)).map_err(Unprobed::Socket)?),
        };
        let before = counters.of(cell)?.flows;
        let begun = Instant::now();
        // That no route leads there is found out after the translation.
        drop(socket.connect(SocketAddr::new(to, PORT)));
        let took = begun.elapsed();
        Ok((counters.of(cell)?.flows != before).then_some(took))
    }

    /// The Service's cell, and what counts.
    fn counters<F: MapFamily>(&self) -> Result<(ServiceId, TrafficMap), Unprobed> {
        let frontends = open_hash::<FrontendKey<F::Addr>, Frontend>(&self.pins, &F::map(map::FRONTENDS))?;
        let addr = F::address(address(F::MODEL)).ok_or(Unprobed::NoService)?;
        match frontends.get(&FrontendKey::new(addr, PORT.to_be(), Transport::Udp), 0) {
            Ok(frontend) => Ok((frontend.service, TrafficMap::open(&self.pins, F::MODEL)?)),
            Err(MapError::KeyNotFound) => Err(Unprobed::NoService),
            Err(error) => Err(Error::map(F::map(map::FRONTENDS), &error).into()),
        }
    }

    /// Takes the flow's entries away: it is over.
    fn forget<F: MapFamily>(&self) -> Result<(), Error> {
        let name = F::map(map::HALF_OPEN);
        let mut flows = open_hash::<FlowKey<F::Addr>, svclb_common::FlowRecord<F::Addr>>(&self.pins, &name)?;
        let (Some(to), Some(from)) = (F::address(address(F::MODEL)), F::address(client(F::MODEL))) else {
            return Ok(());
        };
        let request = key(from, to, self.port, PORT);
        let answer = key(from, to, self.port, TARGET).reversed(Hook::Egress);
        for key in [request, answer] {
            flows.remove(&key).or_else(absent).map_err(|error| Error::map(&name, &error))?;
        }
        Ok(())
    }
}

/// The key of a datagram that enters.
fn key<A: Address>(src: A, dst: A, sport: u16, dport: u16) -> FlowKey<A> {
    FlowKey {
        src,
        dst,
        sport: sport.to_be(),
        dport: dport.to_be(),
        proto: Transport::Udp.number(),
        hook: Hook::Ingress as u8,
        pad: 0,
    }
}
