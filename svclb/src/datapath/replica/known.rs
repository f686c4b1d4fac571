//! The flow of a packet, as the replica's tables have it.

use std::net::SocketAddr;

use aya::maps::HashMap;
use svclb_common::{
    FlowRecord,
    family::{V4, V6},
    flow::Action,
    key::{FlowKey, Hook},
    layout::map,
    service::{BackendId, ServiceId},
};

use super::Replica;
use crate::{
    datapath::{clock, family::MapFamily},
    model::Family,
};

/// A flow that the tables know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFlow {
    /// Whether it is among the established ones.
    pub established: bool,
    /// Whether the packet goes from the client to the backend.
    pub is_original: bool,
    /// Its state, as RFC 9293 names it.
    pub state: &'static str,
    /// Seconds since its last packet.
    pub idle_seconds: u64,
    /// What its packets are given as source and destination.
    pub written: (SocketAddr, SocketAddr),
    /// What happens to them after that.
    pub action: Action,
    /// The service cell.
    pub service: ServiceId,
    /// The backend cell.
    pub backend: BackendId,
    /// The backend's generation when the flow was made.
    pub generation: u32,
}

impl Replica {
    /// The flow of a packet with these ends at a hook.
    pub fn flow(
        &self,
        family: Family,
        (from, to): (SocketAddr, SocketAddr),
        protocol: u8,
        hook: Hook,
    ) -> Option<KnownFlow> {
        match family {
            Family::V4 => self.flow_of::<V4>((from, to), protocol, hook),
            Family::V6 => self.flow_of::<V6>((from, to), protocol, hook),
        }
    }

    fn flow_of<F: MapFamily>(
        &self,
        (from, to): (SocketAddr, SocketAddr),
        proto: u8,
        hook: Hook,
    ) -> Option<KnownFlow> {
        let key = FlowKey {
            src: F::address(from.ip())?,
            dst: F::address(to.ip())?,
            sport: from.port().to_be(),
            dport: to.port().to_be(),
            proto,
            hook: hook as u8,
            pad: 0,
        };
        let (record, established) = self.record::<F>(&key)?;
        let recipe = &record.recipe;
        let peer = self.record::<F>(&recipe.peer()).map(|(peer, _)| peer);
        let end = |addr: F::Addr, port: u16| SocketAddr::new(addr.into(), u16::from_be(port));
        Some(KnownFlow {
            established,
            is_original: recipe.is_original(),
            state: record.flow_state(peer.as_ref()).as_str(),
            idle_seconds: record.idle(peer.as_ref(), clock::now()) / 1_000_000_000,
            written: (end(recipe.src, recipe.sport), end(recipe.dst, recipe.dport)),
            action: recipe.action(),
            service: recipe.service,
            backend: recipe.backend,
            generation: recipe.generation,
        })
    }

    fn record<F: MapFamily>(&self, key: &FlowKey<F::Addr>) -> Option<(FlowRecord<F::Addr>, bool)> {
        let look = |name: &str| {
            let map = self.ebpf.map(&F::map(name))?;
            HashMap::<_, FlowKey<F::Addr>, FlowRecord<F::Addr>>::try_from(map).ok()?.get(key, 0).ok()
        };
        look(map::FLOWS)
            .map(|record| (record, true))
            .or_else(|| look(map::HALF_OPEN).map(|record| (record, false)))
    }
}
