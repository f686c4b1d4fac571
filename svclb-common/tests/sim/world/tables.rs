//! The simulated tables as the datapath sees them.

use svclb_common::{
    balance::{PutError, Route, Tables},
    cell::{Word32, Word64},
    config::DatapathConfig,
    flow::FlowEntry,
    key::{FlowKey, FrontendKey, SocketKey},
    service::{Backend, BackendId, ServiceId, Slab},
    socket::{SocketPeer, SocketTables},
    wire::Transport,
};

use super::{
    NODE, Net, World,
    table::{flow_bytes, frontend_bytes, socket_bytes},
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
    fn config(&self) -> DatapathConfig {
        self.config
    }

    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<ServiceId> {
        self.frontends.get(&frontend_bytes(&key)).map(|frontend| frontend.service)
    }

    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId> {
        self.node_ports.get(&(transport.number(), u16::from_be(port))).copied()
    }

    fn is_local(&self, addr: F::Addr) -> bool {
        self.locals.contains(&addr)
    }

    fn slab(&self, service: ServiceId) -> Option<Slab> {
        self.services.get(service as usize).copied()
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
        *source = F::addr(F::host(NODE));
        self.route_to(*dst)
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
