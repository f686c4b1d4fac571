//! Source ports: unique towards a backend, and found as long as one is free.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    config::BPF_LOOP,
    family::{V4, V6},
    flow::Action,
    snat::patience,
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    ACK, FAR, FAR2, NODE, Net, OUTSIDE, RST, SECOND, SYN, Sent, UPLINK_IN, VIP, VIP2, Verdict, World, at,
    everywhere, next, open, reply, translated, untouched,
};

/// Not a power of two, so that the order passes some numbers over.
const PORTS: u16 = 37;
const FIRST: u16 = 2000;

/// A node that gives ports of a small range to clients outside.
struct Shop<F: Net> {
    world: World<F>,
    transport: Transport,
}

impl<F: Net> Shop<F> {
    fn new(transport: Transport, seed: u64) -> Self {
        let mut world = World::new().with_seed(seed);
        (world.config.snat_port_min, world.config.snat_port_max) = (FIRST, FIRST + PORTS - 1);
        world.serve(transport, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
        world.serve(transport, at::<F>(VIP2, 80), &[at::<F>(FAR2, 8080)]);
        Self { world, transport }
    }

    /// Client number `n` opens a flow.
    fn calls(&self, n: u16, vip: u16) -> Sent {
        self.world.send(UPLINK_IN, &open(self.transport, at::<F>(OUTSIDE, 10_000 + n), at::<F>(vip, 80)))
    }

    /// The port that it got, or what it was told.
    fn port(&self, n: u16, vip: u16) -> Result<u16, Verdict> {
        let sent = self.calls(n, vip);
        match sent.verdict {
            Verdict::Translated(Action::Forward, 0) => {
                assert_eq!(sent.src.ip(), F::host(NODE));
                assert!((FIRST..FIRST + PORTS).contains(&sent.src.port()));
                Ok(sent.src.port())
            }
            verdict => Err(verdict),
        }
    }

    /// Takes all ports towards the backend behind `vip`.
    fn fill(&self, vip: u16) {
        let ports: BTreeSet<_> = (0..PORTS).map(|n| self.port(n, vip).unwrap()).collect();
        assert_eq!(ports.len(), usize::from(PORTS), "each port once");
    }

    /// The client with that port ends its flow.
    fn ends(&self, n: u16, vip: u16) {
        let client = at::<F>(OUTSIDE, 10_000 + n);
        if self.transport == Transport::Tcp {
            self.world.send(UPLINK_IN, &next(self.transport, client, at::<F>(vip, 80)).with(RST));
        } else {
            self.world.wait(3600 * SECOND);
        }
    }
}

const EXHAUSTED: Verdict = Verdict::Refused(DropReason::PortsExhausted);

everywhere! {
    fn the_last_free_port_is_found_and_then_clients_are_refused<F>(transport) {
        for seed in 0..20 {
            let shop = Shop::<F>::new(transport, seed);
            shop.fill(VIP);
            assert_eq!(shop.port(PORTS, VIP), Err(EXHAUSTED));
            let packet = open(transport, at::<F>(OUTSIDE, 9), at::<F>(VIP, 80));
            assert_eq!(shop.world.send(UPLINK_IN, &packet), untouched(EXHAUSTED, &packet));
        }
    }

    fn another_backend_has_ports_of_its_own<F>(transport) {
        let shop = Shop::<F>::new(transport, 1);
        shop.fill(VIP);
        shop.fill(VIP2);
        assert_eq!(shop.port(PORTS, VIP), Err(EXHAUSTED));
        assert_eq!(shop.port(PORTS, VIP2), Err(EXHAUSTED));
    }

    /// A service is served while one of its backends has a port.
    fn a_service_goes_on_with_its_other_backend<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 1);
        let ends = [at::<F>(FAR, 8080), at::<F>(FAR2, 8080)];
        shop.world.serve(transport, at::<F>(VIP2 + 1, 80), &ends);
        shop.fill(VIP);
        let mut served = 0;
        for n in 0..PORTS {
            let sent = shop.calls(n, VIP2 + 1);
            // Chance tries one backend eight times in 256 cases.
            if sent.verdict != EXHAUSTED {
                assert_eq!(sent.dst, ends[1]);
                served += 1;
            }
        }
        assert!(served >= PORTS - 2, "{served}");
    }

    fn ports_come_back_when_flows_end<F>(transport) {
        let shop = Shop::<F>::new(transport, 3);
        shop.fill(VIP);
        assert_eq!(shop.port(PORTS, VIP), Err(EXHAUSTED));
        shop.ends(7, VIP);
        shop.world.wait(patience(PORTS.into()) + 1);
        assert!(shop.port(PORTS, VIP).is_ok());
        if transport == Transport::Tcp {
            assert_eq!(shop.port(PORTS + 1, VIP), Err(EXHAUSTED), "one has come back");
        }
    }

    fn ports_come_back_when_flows_are_forgotten<F>(transport) {
        let shop = Shop::<F>::new(transport, 4);
        shop.fill(VIP);
        shop.world.wait(24 * 3600 * SECOND);
        shop.fill(VIP2);
        assert!((0..PORTS).all(|n| shop.port(100 + n, VIP).is_ok()));
    }

    /// A flood to a backend without a free port does not search for each packet.
    fn a_search_in_vain_is_remembered<F>(transport) {
        let shop = Shop::<F>::new(transport, 5);
        shop.fill(VIP);
        assert_eq!(shop.port(PORTS, VIP), Err(EXHAUSTED));
        let steps = shop.world.steps.get();
        for n in 0..100 {
            assert_eq!(shop.port(PORTS + n, VIP), Err(EXHAUSTED));
        }
        assert_eq!(shop.world.steps.get(), steps);
        shop.world.wait(patience(PORTS.into()) + 1);
        assert_eq!(shop.port(PORTS, VIP), Err(EXHAUSTED));
        assert_eq!(shop.world.steps.get(), steps + u32::from(PORTS.next_power_of_two()));
    }

    /// Without `bpf_loop` a packet tries a few ports, and the next one goes on: repeating itself, a
    /// client gets the last port.
    fn without_loops_a_client_that_repeats_itself_gets_the_last_port<F>(transport) {
        for seed in 0..10 {
            let mut shop = Shop::<F>::new(transport, seed);
            shop.world.config.flags &= !BPF_LOOP;
            let mut ports = BTreeSet::new();
            for n in 0..PORTS {
                let found = (0..64).find_map(|_| match shop.port(n, VIP) {
                    Ok(port) => Some(port),
                    Err(verdict) => {
                        let is_silent = verdict == Verdict::Dropped(DropReason::PortsExhausted);
                        assert!(is_silent || verdict == EXHAUSTED);
                        shop.world.wait(patience(PORTS.into()) + 1);
                        None
                    }
                });
                ports.insert(found.unwrap());
            }
            assert_eq!(ports.len(), usize::from(PORTS));
            assert!((0..64).any(|_| shop.port(PORTS, VIP) == Err(EXHAUSTED)), "and then it is told");
        }
    }

    fn a_backend_that_answers_keeps_its_clients_apart<F>(transport) {
        let shop = Shop::<F>::new(transport, 6);
        let sent: Vec<_> = (0..PORTS).map(|n| shop.calls(n, VIP)).collect();
        for (n, sent) in (0..).zip(&sent) {
            let back = translated(Action::Forward, 0, at::<F>(VIP, 80), at::<F>(OUTSIDE, 10_000 + n));
            assert_eq!(shop.world.send(UPLINK_IN, &reply(transport, sent.dst, sent.src)), back);
        }
    }
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open(u16),
    Answer(u16),
    End(u16),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0_u16..60;
    let step = prop_oneof![
        6 => client.clone().prop_map(Step::Open),
        3 => client.clone().prop_map(Step::Answer),
        2 => client.prop_map(Step::End),
        1 => (0_u64..20).prop_map(Step::Wait),
    ];
    vec(step, 1..200)
}

/// Whatever is opened and closed: no two flows that live have one tuple, and nobody is refused
/// while a port is free.
fn tuples_are_unique<F: Net>(seed: u64, steps: &[Step]) {
    let shop = Shop::<F>::new(Transport::Tcp, seed);
    let vip = at::<F>(VIP, 80);
    let mut live: BTreeMap<u16, Sent> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Open(n) => {
                let is_free = live.len() < usize::from(PORTS);
                let sent = shop
                    .world
                    .send(UPLINK_IN, &open(Transport::Tcp, at::<F>(OUTSIDE, 10_000 + n), vip).with(SYN));
                if let Some(before) = live.get(&n) {
                    assert_eq!(sent, *before, "a flow keeps its port");
                } else if sent.verdict == EXHAUSTED {
                    assert!(!is_free, "{} ports are taken", live.len());
                } else {
                    assert!(live.values().all(|other| other.src != sent.src), "{sent:?} is another's");
                    live.insert(n, sent);
                }
                // A search in vain is remembered for so long.
                shop.world.wait(patience(PORTS.into()) + 1);
            }
            Step::Answer(n) => {
                if let Some(sent) = live.get(&n) {
                    let client = at::<F>(OUTSIDE, 10_000 + n);
                    let back = translated(Action::Forward, 0, vip, client);
                    assert_eq!(shop.world.send(UPLINK_IN, &reply(Transport::Tcp, sent.dst, sent.src)), back);
                    let on = next(Transport::Tcp, client, vip).with(ACK);
                    assert_eq!(shop.world.send(UPLINK_IN, &on), *sent);
                }
            }
            Step::End(n) => {
                if live.remove(&n).is_some() {
                    shop.ends(n, VIP);
                }
            }
            // Well below every timeout.
            Step::Wait(milliseconds) => shop.world.wait(milliseconds * SECOND / 1000),
        }
    }
}

proptest! {
    #[test]
    fn no_two_flows_have_one_tuple_v4(seed: u64, steps in steps()) {
        tuples_are_unique::<V4>(seed, &steps);
    }

    #[test]
    fn no_two_flows_have_one_tuple_v6(seed: u64, steps in steps()) {
        tuples_are_unique::<V6>(seed, &steps);
    }
}
