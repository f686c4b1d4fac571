//! How backends are chosen.

use std::{collections::BTreeMap, net::SocketAddr};

use svclb_common::{
    config::SocketMode,
    service::{Algorithm, BackendId, ServiceId},
    socket::{Socket, SocketVerdict, towards},
    wire::Transport,
};

use crate::world::{
    ACK, FIN, NODE, Net, OUTSIDE, POD, POD_IN, POD_OUT, RST, UPLINK_IN, VIP, World, at, everywhere, next,
    open, reply,
};

/// A service of backends that weigh as much, one slot each.
struct Shop<F: Net> {
    world: World<F>,
    transport: Transport,
    service: ServiceId,
    backends: Vec<BackendId>,
}

impl<F: Net> Shop<F> {
    fn new(transport: Transport, algorithm: Algorithm, weights: &[u8]) -> Self {
        let mut world = World::<F>::new();
        let ends = (0..).zip(weights).map(|(n, _)| at::<F>(1000 + n, 8080));
        let backends: Vec<_> = ends.map(|end| world.add_backend(transport, end, false)).collect();
        let service = world.add_service(&backends);
        let slots: Vec<_> = backends.iter().copied().zip(weights.iter().copied()).collect();
        world.set_slots(service, &slots);
        world.set_policy(service, algorithm.flags(), 0);
        world.add_frontend(transport, at::<F>(VIP, 80), service);
        Self { world, transport, service, backends }
    }

    /// The place among the backends that a new connection of a client gets.
    fn visit(&self, client: SocketAddr) -> usize {
        let sent = self.world.send(POD_IN, &open(self.transport, client, at::<F>(VIP, 80)));
        self.place(sent.dst)
    }

    fn place(&self, end: SocketAddr) -> usize {
        (0..self.backends.len()).find(|&n| at::<F>(1000 + n as u16, 8080) == end).unwrap()
    }

    fn load(&self, place: usize, flows: i64) {
        self.world.active.borrow_mut().insert(self.backends[place], flows);
    }

    fn flows(&self, place: usize) -> i64 {
        self.world.active.borrow().get(&self.backends[place]).copied().unwrap_or(0)
    }
}

everywhere! {
    fn round_robin_goes_through_the_slots_in_their_order<F>(transport) {
        let mut shop = Shop::<F>::new(transport, Algorithm::RoundRobin, &[1, 1, 1]);
        let visits: Vec<_> = (0..7).map(|n| shop.visit(at::<F>(POD, 20000 + n))).collect();
        assert_eq!(visits, [0, 1, 2, 0, 1, 2, 0]);
        let [a, b, _] = shop.backends[..] else { unreachable!() };
        shop.world.set_slots(shop.service, &[(a, 2), (b, 1), (a, 2)]);
        let visits: Vec<_> = (0..6).map(|n| shop.visit(at::<F>(POD, 21000 + n))).collect();
        assert_eq!(visits, [1, 0, 0, 1, 0, 0]);
    }

    /// A live service follows its algorithm at once; its flows stay where they are.
    fn another_algorithm_is_for_new_flows<F>(transport) {
        let mut shop = Shop::<F>::new(transport, Algorithm::Random, &[1; 10]);
        let old: Vec<_> = (0..40).map(|n| shop.visit(at::<F>(POD, 20000 + n))).collect();
        shop.world.set_policy(shop.service, Algorithm::SourceHash.flags(), 0);
        let new: Vec<_> = (0..40).map(|n| shop.visit(at::<F>(POD, 21000 + n))).collect();
        assert!(new.iter().all(|place| *place == new[0]));
        assert!(old.iter().any(|place| *place != new[0]));
        for (n, place) in (0..).zip(old) {
            let sent = shop.world.send(POD_IN, &next(transport, at::<F>(POD, 20000 + n), at::<F>(VIP, 80)));
            assert_eq!(shop.place(sent.dst), place);
        }
        shop.world.set_policy(shop.service, Algorithm::RoundRobin.flags(), 0);
        assert_eq!([0, 1, 2].map(|n| shop.visit(at::<F>(POD, 22000 + n))), [0, 1, 2]);
    }

    fn a_hash_of_the_source_knows_clients_and_not_their_ports<F>(transport) {
        let shop = Shop::<F>::new(transport, Algorithm::SourceHash, &[1; 10]);
        let homes: Vec<_> = (0..40).map(|n| shop.visit(at::<F>(POD + n, 20000))).collect();
        assert!(homes.iter().any(|home| *home != homes[0]));
        for (n, home) in (0..).zip(homes) {
            assert_eq!(shop.visit(at::<F>(POD + n, 30000)), home);
        }
    }

    /// Every node decides by the tuple alone: neither chance, nor the number of a cell, nor what came before.
    fn maglev_is_the_same_on_every_node<F>(transport) {
        let one = Shop::<F>::new(transport, Algorithm::Maglev, &[1; 10]);
        let mut world = World::<F>::new().with_seed(99);
        for n in 0..5 {
            world.serve(transport, at::<F>(VIP, 1000 + n), &[at::<F>(3000 + n, 1)]);
        }
        let ends: Vec<_> = (0..10).map(|n| at::<F>(1000 + n, 8080)).collect();
        let service = world.serve(transport, at::<F>(VIP, 80), &ends);
        world.set_policy(service, Algorithm::Maglev.flags(), 0);
        let mut chosen = BTreeMap::<_, u32>::new();
        for port in 20000..20400 {
            let client = open(transport, at::<F>(OUTSIDE, port), at::<F>(VIP, 80));
            let (here, there) = (one.world.send(UPLINK_IN, &client), world.send(UPLINK_IN, &client));
            assert_eq!(here.dst, there.dst);
            *chosen.entry(here.dst).or_default() += 1;
        }
        // Forty each on average; six standard deviations.
        assert!(chosen.len() == 10 && chosen.values().all(|count| (4..=76).contains(count)), "{chosen:?}");
    }

    fn least_conn_never_chooses_the_busier_of_two<F>(transport) {
        for (loads, weights, expected) in [
            ([5, 6], [1, 1], 0),
            ([6, 5], [1, 1], 1),
            ([0, 1], [1, 1], 0),
            ([9, 4], [2, 1], 1),
            ([7, 4], [2, 1], 0),
            ([-3, 1], [1, 1], 0),
            ([100, 2], [100, 1], 0),
        ] {
            let shop = Shop::<F>::new(transport, Algorithm::LeastConn, &weights);
            for port in 20000..20040 {
                (0..2).for_each(|place| shop.load(place, loads[place]));
                assert_eq!(shop.visit(at::<F>(POD, port)), expected, "{loads:?} {weights:?}");
            }
        }
    }

    fn least_conn_fills_what_is_empty<F>(transport) {
        let shop = Shop::<F>::new(transport, Algorithm::LeastConn, &[1; 5]);
        shop.load(0, 40);
        for port in 20000..20140 {
            shop.visit(at::<F>(POD, port));
        }
        assert_eq!(shop.flows(0), 40, "nobody joins who is busiest");
        for place in 1..5 {
            assert!((31..=39).contains(&shop.flows(place)), "{:?}", shop.world.active.borrow());
        }
    }

    /// The tuple to the backend that a hash names is another flow's: the client keeps its backend by another one.
    fn a_clash_takes_another_port_and_no_other_backend<F>(transport) {
        let mut shop = Shop::<F>::new(transport, Algorithm::SourceHash, &[1]);
        shop.world.add_frontend(transport, at::<F>(VIP, 81), shop.service);
        let client = at::<F>(POD, 20000);
        let first = shop.world.send(POD_IN, &open(transport, client, at::<F>(VIP, 80)));
        let second = shop.world.send(POD_IN, &open(transport, client, at::<F>(VIP, 81)));
        assert_eq!(first.dst, second.dst);
        assert_ne!(first.src.port(), second.src.port());
    }

    /// Pods are decided by their packets where their address or the end of their connections matters.
    fn sockets_of_pods_are_left_alone<F>(transport) {
        for (algorithm, is_left) in [
            (Algorithm::Random, false),
            (Algorithm::RoundRobin, false),
            (Algorithm::LeastConn, true),
            (Algorithm::Maglev, true),
            (Algorithm::SourceHash, true),
        ] {
            let mut shop = Shop::<F>::new(transport, algorithm, &[1; 10]);
            shop.world.config.socket_mode = SocketMode::All as u32;
            let vip = at::<F>(VIP, 80);
            let call = |cookie, in_host| {
                let socket = Socket { cookie, in_host, transport, port: 0, unconnected: transport == Transport::Udp, connected: false };
                towards(&shop.world, socket, F::addr(vip.ip()), vip.port().to_be())
            };
            assert_eq!(call(1, false) == SocketVerdict::Keep, is_left, "{algorithm:?}");
            let host: Vec<_> = (10..50).map(|cookie| call(cookie, true)).collect();
            assert!(host.iter().all(|verdict| matches!(verdict, SocketVerdict::To(..))));
            let is_one = host.iter().all(|verdict| *verdict == host[0]);
            assert_eq!(is_one, algorithm == Algorithm::SourceHash, "{algorithm:?}: the node is one client");
        }
    }
}

/// What a backend is said to have is what it has.
fn counts<F: Net>() {
    let transport = Transport::Tcp;
    let shop = Shop::<F>::new(transport, Algorithm::LeastConn, &[1]);
    let (vip, end) = (at::<F>(VIP, 80), at::<F>(1000, 8080));
    let client = |port| at::<F>(POD, port);
    for port in 20000..20003 {
        shop.visit(client(port));
        shop.visit(client(port));
    }
    assert_eq!(shop.flows(0), 3, "a SYN that is sent again opens nothing");
    let go_on = |port| {
        shop.world.send(POD_OUT, &reply(transport, end, client(port)));
        shop.world.send(POD_IN, &next(transport, client(port), vip).with(ACK));
    };
    (20000..20003).for_each(go_on);
    assert_eq!(shop.flows(0), 3);
    // Both sides end.
    shop.world.send(POD_IN, &next(transport, client(20000), vip).with(FIN | ACK));
    assert_eq!(shop.flows(0), 3, "one direction goes on");
    shop.world.send(POD_OUT, &next(transport, end, client(20000)).with(FIN | ACK));
    shop.world.send(POD_IN, &next(transport, client(20000), vip).with(ACK));
    assert_eq!(shop.flows(0), 2);
    // A reset.
    for _ in 0..2 {
        shop.world.send(POD_IN, &next(transport, client(20001), vip).with(RST));
    }
    assert_eq!(shop.flows(0), 1, "once");
    // The client uses both ports again.
    shop.visit(client(20000));
    shop.visit(client(20001));
    assert_eq!(shop.flows(0), 3);
    // Who is refused has nothing.
    shop.visit(client(20005));
    shop.world.send(POD_OUT, &next(transport, end, client(20005)).with(RST | ACK));
    assert_eq!(shop.flows(0), 3);
    assert_eq!(at::<F>(NODE, 1).port(), 1);
}

#[test]
fn flows_are_counted_until_they_end() {
    counts::<svclb_common::family::V4>();
    counts::<svclb_common::family::V6>();
}
