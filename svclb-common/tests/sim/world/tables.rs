//! The simulated tables as the datapath sees them.

use svclb_common::{
    balance::{PutError, Route, Tables},
    cell::{Word32, Word64},
    family::Address as _,
    flow::FlowEntry,
    key::{FlowKey, FrontendKey, SocketKey},
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
    },
    socket::{SocketPeer, SocketTables},
    wire::Transport,
};

use super::{
    Net, World,
    table::{affinity_bytes, flow_bytes, frontend_bytes, socket_bytes},
};

/// What a map's update copies.
fn copy<F: Net>(entry: &FlowEntry<F::Addr>) -> FlowEntry<F::Addr> {
    FlowEntry {
        recipe: entry.recipe,
        state: Word32::new(entry.state.load()),
        seen: Word64::new(entry.seen.load()),
    }
}

impl<F: Net> Tables<F> for World<F> {
    fn socket_mode(&self) -> u32 {
        self.config.socket_mode
    }

    fn snat_ports(&self) -> (u16, u16) {
        (self.config.snat_port_min, self.config.snat_port_max)
    }

    fn is_set(&self, flag: u32) -> bool {
        self.config.flags & flag != 0
    }

    fn cluster_cidr(&self) -> [F::Addr; 2] {
        F::cluster_cidr(&self.config)
    }

    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<Frontend> {
        self.frontends.get(&frontend_bytes(&key)).copied()
    }

    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId> {
        self.node_ports.get(&(transport.number(), u16::from_be(port))).copied()
    }

    fn local(&self, addr: F::Addr) -> u32 {
        self.locals.iter().find(|(local, _)| *local == addr).map_or(0, |(_, flags)| *flags)
    }

    fn policy(&self, service: ServiceId) -> Policy {
        self.services.get(service as usize).map(|service| service.policy).unwrap_or_default()
    }

    fn slab(&self, service: ServiceId, list: List) -> Slab {
        self.services.get(service as usize).map(|service| service.slabs[list as usize]).unwrap_or_default()
    }

    fn affinity(&self, key: &AffinityKey<F::Addr>) -> Option<Affinity> {
        self.affinities.get(&affinity_bytes(key)).copied()
    }

    fn keep_affinity(&self, key: &AffinityKey<F::Addr>, affinity: &Affinity) {
        self.affinities.put(affinity_bytes(key), *affinity);
    }

    fn admits(&self, service: ServiceId, addr: &F::Addr) -> bool {
        self.source_ranges.iter().any(|(owner, prefix, mask)| *owner == service && addr.is_in(*prefix, *mask))
    }

    fn ranges(&self) -> Option<&ServiceRanges<F::Addr>> {
        Some(&self.ranges)
    }

    fn is_cluster_ip(&self, addr: &F::Addr) -> bool {
        self.cluster_ips.contains(addr)
    }

    fn slot(&self, slot: u32) -> Option<BackendId> {
        self.slots.get(slot as usize).copied()
    }

    fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>> {
        self.backends.get(id as usize)?.read(id)
    }

    fn flow(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        self.flows.get(&flow_bytes(key))
    }

    fn half_open(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        self.half_open.get(&flow_bytes(key))
    }

    fn open(
        &self,
        key: &FlowKey<F::Addr>,
        entry: &FlowEntry<F::Addr>,
        replace: bool,
    ) -> Result<(), PutError> {
        let key = flow_bytes(key);
        if !replace && self.half_open.get(&key).is_some() {
            return Err(PutError::Exists);
        }
        self.half_open.put(key, copy::<F>(entry));
        Ok(())
    }

    fn establish(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) {
        let key = flow_bytes(key);
        self.flows.put(key.clone(), copy::<F>(entry));
        self.half_open.remove(&key);
    }

    fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) {
        let key = flow_bytes(key);
        self.half_open.put(key.clone(), copy::<F>(entry));
        self.flows.remove(&key);
    }

    fn forget(&self, key: &FlowKey<F::Addr>) {
        self.flows.remove(&flow_bytes(key));
        self.half_open.remove(&flow_bytes(key));
    }

    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route {
        *source = self.locals[0].0;
        self.route_to(*dst)
    }

    fn fits(&self, _dst: &F::Addr, bytes: u16) -> bool {
        bytes <= self.mtu.get()
    }

    fn random(&self) -> u32 {
        self.next_random()
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn count_flow(&self, _service: ServiceId, backend: BackendId) {
        *self.picks.borrow_mut().entry(backend).or_default() += 1;
    }
}

impl<F: Net> SocketTables<F> for World<F> {
    fn translation(&self, key: SocketKey<F::Addr>) -> Option<SocketPeer<F::Addr>> {
        self.sockets.get(&socket_bytes(&key)).copied()
    }

    fn remember(&self, key: SocketKey<F::Addr>, peer: &SocketPeer<F::Addr>) {
        self.sockets.put(socket_bytes(&key), *peer);
    }
}
