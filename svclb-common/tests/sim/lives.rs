//! Random lives of flows, with tables that make room and a collector that walks: what always holds.

use std::collections::{HashMap, HashSet};

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    balance::Tables as _,
    family::{V4, V6},
    flow::{FlowRecord, FlowState, Home, TICK_NS, Timeouts},
    key::{FlowKey, Hook},
    wire::Transport,
};

use crate::world::{
    ACK, Entry, FAR, FAR2, FIN, Net, OUTSIDE, POD, POD_IN, POD_OUT, RST, SECOND, SYN, Sent, UPLINK_IN, VIP,
    Verdict, World, at, open,
};

/// Nanoseconds for which a flow in `state` is remembered.
fn limit(state: FlowState) -> u64 {
    u64::from(Timeouts::DEFAULT.of(state)) * SECOND
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The client sends to a virtual address.
    There { client: u16, vip: u16, flags: u8 },
    /// The backend of that flow, if there was one, sends to where it saw the client.
    Back { client: u16, vip: u16, flags: u8 },
    /// Time passes.
    Wait(u64),
    /// The tables make room with every entry whose bit is set, counted in the order of keys.
    Evict(u64),
    /// The collector walks.
    Walk,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let flags = || prop_oneof![3 => Just(SYN), 1 => Just(SYN | ACK), 6 => Just(ACK), 1 => Just(RST), 2 => Just(FIN | ACK)];
    let waits = prop_oneof![
        4 => 0_u64..2 * SECOND, 4 => 0..150 * SECOND, 2 => 0..2 * 3600 * SECOND, 1 => 0..30 * 3600 * SECOND
    ];
    let event = prop_oneof![
        8 => (0_u16..3, 0_u16..2, flags()).prop_map(|(client, vip, flags)| Event::There { client, vip, flags }),
        6 => (0_u16..3, 0_u16..2, flags()).prop_map(|(client, vip, flags)| Event::Back { client, vip, flags }),
        3 => waits.prop_map(Event::Wait),
        1 => any::<u64>().prop_map(Event::Evict),
        3 => Just(Event::Walk),
    ];
    vec(event, 1..80)
}

/// The world of the property, with what it knows of the flows in it.
struct Trial<F: Net> {
    world: World<F>,
    transport: Transport,
    is_pod: bool,
    /// When a packet used the entry under that key last.
    used: HashMap<String, u64>,
    sent: HashMap<(u16, u16), Sent>,
}

impl<F: Net> Trial<F> {
    fn new(transport: Transport, is_pod: bool, seed: u64) -> Self {
        let mut world = World::<F>::new().with_seed(seed);
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2003);
        let backends = [FAR, FAR2].map(|host| world.add_backend(transport, at::<F>(host, 8080), false));
        let service = world.add_service(&backends);
        (0..2).for_each(|n| world.add_frontend(transport, at::<F>(VIP + n, 80), service));
        Self { world, transport, is_pod, used: HashMap::new(), sent: HashMap::new() }
    }

    fn send(&mut self, is_back: bool, src: std::net::SocketAddr, dst: std::net::SocketAddr, flags: u8) {
        let place = match (self.is_pod, is_back) {
            (true, false) => POD_IN,
            (true, true) => POD_OUT,
            (false, _) => UPLINK_IN,
        };
        let flags = if self.transport == Transport::Udp { 0 } else { flags };
        let sent = self.world.send(place, &open(self.transport, src, dst).with(flags));
        if matches!(sent.verdict, Verdict::Translated(..)) {
            let key = FlowKey {
                src: <F as Net>::addr(src.ip()),
                dst: <F as Net>::addr(dst.ip()),
                sport: src.port().to_be(),
                dport: dst.port().to_be(),
                proto: self.transport.number(),
                hook: if place == POD_OUT { Hook::Egress } else { Hook::Ingress } as u8,
                pad: 0,
            };
            self.used.insert(format!("{key:?}"), self.world.now());
            if !is_back {
                let host = if self.is_pod { POD } else { OUTSIDE };
                let of = |n: u16, m: u16| (at::<F>(host, 40000 + n), at::<F>(VIP + m, 80)) == (src, dst);
                let flow = (0..3).flat_map(|n| (0..2).map(move |m| (n, m))).find(|(n, m)| of(*n, *m));
                self.sent.insert(flow.unwrap(), sent);
            }
        }
    }

    fn run(&mut self, event: Event) {
        let host = if self.is_pod { POD } else { OUTSIDE };
        match event {
            Event::There { client, vip, flags } => {
                self.send(false, at::<F>(host, 40000 + client), at::<F>(VIP + vip, 80), flags);
            }
            Event::Back { client, vip, flags } => {
                if let Some(sent) = self.sent.get(&(client, vip)).copied() {
                    self.send(true, sent.dst, sent.src, flags);
                }
            }
            Event::Wait(time) => self.world.wait(time),
            Event::Evict(bits) => {
                let at = std::cell::Cell::new(0);
                let stays = || {
                    at.set(at.get() + 1);
                    bits >> (at.get() % 64) & 1 == 0
                };
                self.world.flows.retain(|_| stays());
                self.world.half_open.retain(|_| stays());
                self.walk();
            }
            Event::Walk => self.walk(),
        }
        self.agree();
    }

    /// When an entry, or its opposite, was made or used by a packet last.
    fn last(&self, key: &FlowKey<F::Addr>, record: &FlowRecord<F::Addr>, is_pair: bool) -> u64 {
        let peer = is_pair.then(|| record.recipe.peer());
        let keys = [Some(*key), peer];
        let used = keys.iter().flatten().filter_map(|key| self.used.get(&format!("{key:?}")).copied());
        used.max().unwrap_or(0).max(record.life.seen())
    }

    /// The collector takes away nobody who was in use, and everybody else.
    fn walk(&mut self) {
        let before = self.world.entries();
        self.world.collect();
        let after: HashSet<_> =
            self.world.entries().into_iter().map(|(_, key, _)| format!("{key:?}")).collect();
        let now = self.world.now();
        for (_, key, record) in &before {
            let peer = opposite::<F>(&before, key, record);
            let limit = limit(record.flow_state(peer));
            let idle = now - self.last(key, record, peer.is_some());
            if after.contains(&format!("{key:?}")) {
                assert!(idle <= limit + 2 * TICK_NS, "{key:?} stays for {idle} of {limit} ns");
            } else {
                assert!(idle > limit, "{key:?} goes after {idle} of {limit} ns");
            }
        }
        // Nobody established has lost the other half.
        for (home, key, record) in self.world.entries() {
            let is_half = opposite::<F>(&self.world.entries(), &key, &record).is_none();
            assert!(
                home == Home::HalfOpen || !record.recipe.is_original() || !is_half,
                "{key:?} is half a flow"
            );
        }
    }

    /// Entries name each other or are alone, no tuple has two flows, and both directions agree on the state.
    fn agree(&self) {
        let entries = self.world.entries();
        let keys: HashSet<_> = entries.iter().map(|(_, key, _)| format!("{key:?}")).collect();
        assert_eq!(keys.len(), entries.len(), "an entry in both tables");
        let mut owners = HashMap::new();
        for (home, key, record) in &entries {
            assert!(self.world.may_hold(key), "{key:?} has no mark that counts");
            match opposite::<F>(&entries, key, record) {
                Some(peer) => assert_eq!(record.flow_state(Some(peer)), peer.flow_state(Some(record))),
                // It looks for its other half before it sends anything.
                None => {
                    assert!(*home == Home::HalfOpen || !record.recipe.is_original(), "{key:?} {record:?}");
                }
            }
            if *home == Home::Flows && record.recipe.is_original() {
                let tuple = format!("{:?}", record.recipe.peer());
                assert_eq!(owners.insert(tuple, *key), None, "two flows with one tuple");
            }
        }
    }
}

/// The other direction's entry, if it names this one back.
fn opposite<'e, F: Net>(
    entries: &'e [Entry<F>],
    key: &FlowKey<F::Addr>,
    record: &FlowRecord<F::Addr>,
) -> Option<&'e FlowRecord<F::Addr>> {
    let peer = record.recipe.peer();
    let found = entries.iter().find(|(_, found, _)| *found == peer)?;
    found.2.recipe.names(key).then_some(&found.2)
}

fn lives<F: Net>(transport: Transport, is_pod: bool, seed: u64, events: &[Event]) {
    let mut trial = Trial::<F>::new(transport, is_pod, seed);
    for event in events {
        trial.run(*event);
    }
    trial.world.wait(25 * 3600 * SECOND);
    trial.walk();
    assert_eq!((trial.world.flows.len(), trial.world.half_open.len()), (0, 0), "in the end nothing is left");
}

proptest! {
    #[test]
    fn lives_of_flows4(is_tcp: bool, is_pod: bool, seed: u64, events in events()) {
        lives::<V4>(if is_tcp { Transport::Tcp } else { Transport::Udp }, is_pod, seed, &events);
    }

    #[test]
    fn lives_of_flows6(is_tcp: bool, is_pod: bool, seed: u64, events in events()) {
        lives::<V6>(if is_tcp { Transport::Tcp } else { Transport::Udp }, is_pod, seed, &events);
    }
}
