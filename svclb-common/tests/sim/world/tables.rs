//! The simulated tables as the datapath sees them.

use svclb_common::{
    balance::{PutError, Repeat, Route, STEPS, Tables},
    client::{ANY_DEVICE, PodRange},
    config::BPF_LOOP,
    family::Address,
    flow::{
        FlowEntry, FlowRecord,
        filter::{self, place},
    },
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, FrontendKey, SocketKey},
    line::Line,
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
        Slot, Turn, turn,
    },
    snat::{PortsKey, PortsMemory},
    socket::{SocketPeer, SocketTables},
    wire::Transport,
};

use super::{
    Net, SECOND, World,
    table::{affinity_bytes, flow_bytes, fragment_bytes, frontend_bytes, ports_bytes, socket_bytes},
};

/// What a map's update copies.
fn copy<F: Net>(value: &FlowEntry<F::Addr>) -> FlowEntry<F::Addr> {
    (&FlowRecord::from(value)).into()
}

impl<F: Net> World<F> {
    /// Leaves the mark of a tuple.
    pub(crate) fn mark(&self, key: &FlowKey<F::Addr>) {
        let place = place(key);
        filter::note(&self.filter[Line::of(place) as usize], place, self.eras.read());
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

    fn timeout(&self, number: u32) -> u64 {
        u64::from(self.config.timeouts.seconds[number as usize]) * SECOND
    }

    fn pods_behind(&self, ifindex: u32) -> Option<PodRange<F::Addr>> {
        let rule = |index: u32| {
            self.cost.look();
            self.pods.iter().find(|(device, _)| *device == index).map(|(_, range)| *range)
        };
        rule(ifindex).or_else(|| rule(ANY_DEVICE))
    }

    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<Frontend> {
        // A filter tells of most that there is none.
        let found = self.frontends.get(&frontend_bytes(&key)).copied();
        found.inspect(|_| self.cost.look())
    }

    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId> {
        self.node_ports.get(&(transport.number(), u16::from_be(port))).copied()
    }

    fn local(&self, addr: F::Addr) -> u32 {
        self.cost.look();
        self.locals.iter().find(|(local, _)| *local == addr).map_or(0, |(_, flags)| *flags)
    }

    fn policy(&self, service: ServiceId) -> Policy {
        self.services.get(service as usize).map(|service| service.policy).unwrap_or_default()
    }

    fn slab(&self, service: ServiceId, list: List) -> Slab {
        self.services.get(service as usize).map(|service| service.slabs[list as usize]).unwrap_or_default()
    }

    fn affinity(&self, key: &AffinityKey<F::Addr>) -> Option<Affinity> {
        self.cost.look();
        self.affinities.get(&affinity_bytes(key)).copied()
    }

    fn keep_affinity(&self, key: &AffinityKey<F::Addr>, affinity: &Affinity) {
        self.cost.write();
        self.affinities.put(affinity_bytes(key), *affinity);
    }

    fn admits(&self, service: ServiceId, addr: &F::Addr) -> bool {
        self.cost.look();
        self.source_ranges.iter().any(|(owner, prefix, mask)| *owner == service && addr.is_in(*prefix, *mask))
    }

    fn ranges(&self) -> Option<&ServiceRanges<F::Addr>> {
        Some(&self.ranges)
    }

    fn is_cluster_ip(&self, addr: &F::Addr) -> bool {
        self.cost.look();
        self.cluster_ips.contains(addr)
    }

    fn is_external_ip(&self, addr: &F::Addr) -> bool {
        self.external_ips.contains(addr)
    }

    fn slot(&self, slot: u32) -> Option<BackendId> {
        self.slots.get(slot as usize).map(|word| Slot::backend_of(*word))
    }

    fn weight(&self, slot: u32) -> u8 {
        self.slots.get(slot as usize).map_or(1, |word| Slot::weight_of(*word))
    }

    fn takes(&self, service: ServiceId, rate: u32) -> bool {
        let mut rates = self.rates.borrow_mut();
        let due = rates.entry(service).or_default();
        match turn(*due, self.clock.get(), rate) {
            Turn::None => return false,
            Turn::First(word) => *due = word,
            Turn::Next(share) => *due += share,
        }
        true
    }

    fn turn(&self, service: ServiceId) -> u64 {
        let mut turns = self.turns.borrow_mut();
        let turn = turns.entry(service).or_default();
        *turn += 1;
        *turn - 1
    }

    fn active(&self, id: BackendId) -> u32 {
        self.active.borrow().get(&id).map_or(0, |count| u32::try_from(*count).unwrap_or(0))
    }

    fn add_active(&self, id: BackendId, change: i64) {
        *self.active.borrow_mut().entry(id).or_default() += change;
    }

    fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>> {
        self.backends.get(id as usize)?.read(id)
    }

    fn may_hold(&self, key: &FlowKey<F::Addr>) -> bool {
        let place = place(key);
        filter::may_hold(&self.filter[Line::of(place) as usize], place, self.eras.read())
    }

    fn flow(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        self.cost.look();
        self.flows.get(&flow_bytes(key))
    }

    fn half_open(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        self.cost.look();
        self.half_open.get(&flow_bytes(key))
    }

    fn open(
        &self,
        key: &FlowKey<F::Addr>,
        entry: &FlowEntry<F::Addr>,
        replace: bool,
    ) -> Result<(), PutError> {
        self.cost.write();
        self.mark(key);
        let key = flow_bytes(key);
        if !replace && self.half_open.get(&key).is_some() {
            return Err(PutError::Exists);
        }
        self.half_open.put(key, copy::<F>(entry));
        Ok(())
    }

    fn establish(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, _copy: &mut FlowEntry<F::Addr>) {
        self.cost.write();
        self.cost.write();
        self.mark(key);
        let key = flow_bytes(key);
        self.flows.put(key.clone(), copy::<F>(entry));
        self.half_open.remove(&key);
    }

    fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, _copy: &mut FlowEntry<F::Addr>) {
        self.cost.write();
        self.cost.write();
        self.mark(key);
        let key = flow_bytes(key);
        self.half_open.put(key.clone(), copy::<F>(entry));
        self.flows.remove(&key);
    }

    fn forget(&self, key: &FlowKey<F::Addr>) {
        self.cost.write();
        self.cost.write();
        self.flows.remove(&flow_bytes(key));
        self.half_open.remove(&flow_bytes(key));
    }

    fn fragment(&self, key: &FragmentKey<F::Addr>) -> Option<FragmentHead> {
        self.cost.look();
        self.fragments.get(&fragment_bytes(key)).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey<F::Addr>, head: &FragmentHead) {
        self.cost.write();
        self.fragments.put(fragment_bytes(key), *head);
    }

    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route {
        // The address of the device that the route names.
        self.cost.look();
        *source = self.locals[0].0;
        if self.routed.borrow().contains(dst) {
            return Route::Via;
        }
        let route = self.route_to(*dst);
        if route == Route::Via {
            self.routed.borrow_mut().push(*dst);
        }
        route
    }

    fn searched(&self, key: &PortsKey<F::Addr>) -> Option<PortsMemory> {
        // The programs have a sign that there is nothing.
        if self.searches.len() == 0 {
            return None;
        }
        self.cost.look();
        self.searches.get(&ports_bytes(key)).copied()
    }

    fn keep_search(&self, key: &PortsKey<F::Addr>, memory: &PortsMemory) {
        self.cost.write();
        self.searches.put(ports_bytes(key), *memory);
    }

    fn repeat<R: Repeat<F>>(&self, steps: u32, repeat: &mut R) -> bool {
        let most = if self.is_set(BPF_LOOP) { steps } else { steps.min(STEPS) };
        let is_last = (0..most).any(|_| {
            self.steps.set(self.steps.get() + 1);
            repeat.step()
        });
        is_last || most == steps
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

    fn count_flow(&self, _frontend: Frontend, backend: BackendId) {
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

    fn has_opted_out(&self) -> bool {
        self.opted_out
    }
}
