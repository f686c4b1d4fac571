//! The translations that the programs make at sockets, as the agent looks at them.

use std::net::{IpAddr, SocketAddr};

use aya::maps::MapError;
use svclb_common::{
    family::{V4, V6},
    key::{FrontendKey, SocketKey, SocketWay},
    layout::map,
    service::{Frontend, FrontendKind},
    socket::{SocketPeer, inherited_cookie},
    wire::Transport,
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, Tables, open_hash, read_error},
};

/// What has become of the other end of a connected datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing that counts: it is no Service's, or the backend that was chosen serves.
    Fine,
    /// It is a backend that has been given up.
    Gone,
    /// It is a `ClusterIP` of a Service that came after the socket was connected, or after the programs.
    Untranslated,
}

/// The maps of both families.
pub struct Translations {
    v4: FamilyMaps<V4>,
    v6: FamilyMaps<V6>,
}

struct FamilyMaps<F: MapFamily> {
    sockets: Hash<SocketKey<F::Addr>, SocketPeer<F::Addr>>,
    frontends: Hash<FrontendKey<F::Addr>, Frontend>,
}

impl Translations {
    /// Opens the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self { v4: FamilyMaps::open(pins)?, v6: FamilyMaps::open(pins)? })
    }

    /// What has become of `peer`, to which the datagram socket `cookie` at `port` of the host is connected.
    pub fn end_of(&self, tables: &Tables, cookie: u64, port: u16, peer: SocketAddr) -> Result<End, Error> {
        match peer.ip() {
            IpAddr::V4(_) => self.v4.end_of(tables, cookie, port, peer),
            IpAddr::V6(_) => self.v6.end_of(tables, cookie, port, peer),
        }
    }
}

impl<F: MapFamily> FamilyMaps<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        let (sockets, frontends) = (F::map(map::SOCKETS), F::map(map::FRONTENDS));
        Ok(Self { sockets: open_hash(pins, &sockets)?, frontends: open_hash(pins, &frontends)? })
    }

    fn end_of(&self, tables: &Tables, cookie: u64, own: u16, peer: SocketAddr) -> Result<End, Error> {
        let Some(addr) = F::address(peer.ip()) else { return Ok(End::Fine) };
        let (port, transport) = (peer.port().to_be(), Transport::Udp);
        let key = SocketKey::new(cookie, addr, port, transport, SocketWay::Reverse);
        let known = found(self.sockets.get(&key, 0), F::map(map::SOCKETS))?;
        if let Some(SocketPeer { backend, generation, .. }) = known {
            let is_gone = backend != 0 && tables.generation(F::MODEL, backend)? != generation;
            return Ok(if is_gone { End::Gone } else { End::Fine });
        }
        let key = FrontendKey::new(addr, port, transport);
        let frontend = found(self.frontends.get(&key, 0), F::map(map::FRONTENDS))?;
        let is_cluster_ip = frontend.is_some_and(|found| found.kind == FrontendKind::ClusterIp as u32);
        if !is_cluster_ip {
            return Ok(End::Fine);
        }
        // Netfilter may translate for it.
        let inherited = inherited_cookie(true, own.to_be());
        let key = SocketKey::new(inherited, addr, port, transport, SocketWay::Forward);
        let kept = found(self.sockets.get(&key, 0), F::map(map::SOCKETS))?;
        Ok(if kept.is_some() { End::Fine } else { End::Untranslated })
    }
}

fn found<T>(value: Result<T, MapError>, name: String) -> Result<Option<T>, Error> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(read_error(name, &error)),
    }
}
