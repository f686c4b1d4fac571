//! The collector: what it forgets, and what it must not.

use std::{cell::Cell, convert::Infallible};

use svclb_common::{
    balance::Tables as _,
    collect::{FlowTables, Judge},
    family::Family,
    flow::{Action, FlowRecord, FlowState, Home, Timeouts},
    key::FlowKey,
    service::BackendId,
    wire::Transport,
};

use crate::{
    pair::Pair,
    world::{
        ACK, FAR, FIN, Net, OUTSIDE, POD, RST, SECOND, SYN, UPLINK_IN, VIP, Walk, World, at, everywhere,
        families, open, translated,
    },
};

type Key<F> = FlowKey<<F as Family>::Addr>;
type Record<F> = FlowRecord<<F as Family>::Addr>;

/// Seconds for which a flow in `state` is remembered.
fn seconds(state: FlowState) -> u64 {
    u64::from(Timeouts::DEFAULT.of(state))
}

/// Asserts that the one flow is in `state`, stays to the end of its timeout, and then goes with both its entries.
#[track_caller]
fn lasts<F: Net>(world: &World<F>, state: FlowState) {
    world.wait(seconds(state) * SECOND);
    assert_eq!(world.collect(), Walk { states: vec![state], ..Walk::default() });
    world.wait(2 * SECOND);
    assert_eq!(world.collect(), Walk { removed: 2, ..Walk::default() });
    assert_eq!((world.flows.len(), world.half_open.len()), (0, 0));
}

families! {
    fn each_state_of_tcp_has_its_time<F>() {
        type Script = &'static [(bool, u8)];
        let table: [(FlowState, Script); 10] = [
            (FlowState::SynSent, &[(true, SYN)]),
            (FlowState::SynReceived, &[(true, SYN), (false, SYN | ACK)]),
            (FlowState::Established, &[(true, SYN), (false, SYN | ACK), (true, ACK)]),
            (FlowState::FinWait, &[(true, SYN), (false, SYN | ACK), (true, ACK), (true, FIN | ACK), (false, ACK)]),
            (FlowState::CloseWait, &[(true, SYN), (false, SYN | ACK), (true, ACK), (false, FIN | ACK), (true, ACK)]),
            (
                FlowState::TimeWait,
                &[(true, SYN), (false, SYN | ACK), (true, FIN | ACK), (false, FIN | ACK), (true, ACK)],
            ),
            (FlowState::Closed, &[(true, SYN), (false, RST | ACK)]),
            (FlowState::Closed, &[(true, SYN), (false, SYN | ACK), (true, RST)]),
            (FlowState::Reset, &[(true, SYN), (false, SYN | ACK), (true, ACK), (false, RST)]),
            (FlowState::Reset, &[(true, SYN), (false, SYN | ACK), (true, ACK), (true, RST)]),
        ];
        for (state, script) in table {
            let pair = Pair::<F>::new(Transport::Tcp);
            let mut sent = None;
            for (is_client, flags) in script {
                match sent {
                    Some(sent) if !is_client => _ = pair.back(sent, *flags),
                    _ => sent = Some(pair.there(*flags)),
                }
            }
            lasts(&pair.world, state);
        }
    }

    fn datagrams_without_an_answer_are_forgotten_sooner<F>() {
        let pair = Pair::<F>::new(Transport::Udp);
        pair.there(0);
        lasts(&pair.world, FlowState::UdpNew);
        let pair = Pair::<F>::new(Transport::Udp);
        pair.establish();
        lasts(&pair.world, FlowState::UdpStream);
    }

    fn timeouts_are_what_was_asked_for<F>() {
        let mut pair = Pair::<F>::new(Transport::Tcp);
        pair.world.config.timeouts = Timeouts::DEFAULT.with(FlowState::Established, 20);
        pair.establish();
        pair.world.wait(22 * SECOND);
        assert_eq!(pair.world.collect().removed, 2);
    }

    /// Datagrams that are under way when a backend goes still find the client.
    fn a_datagram_flow_outlives_its_backend_for_a_moment_only<F>() {
        let mut pair = Pair::<F>::new(Transport::Udp);
        let sent = pair.establish();
        pair.retire(sent);
        assert_eq!(pair.world.collect().removed, 0);
        assert_eq!(pair.back(sent, 0), translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000)));
        pair.world.wait((seconds(FlowState::UdpNew) + 2) * SECOND);
        assert_eq!(pair.world.collect().removed, 2);
    }

    fn a_connection_outlives_its_backend<F>() {
        let mut pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        pair.retire(sent);
        lasts(&pair.world, FlowState::Established);
    }

    /// A long answer to a short question: one side has finished, the other one speaks for hours.
    fn half_closed_connections_last_while_the_other_half_speaks<F>() {
        for client_ends in [true, false] {
            let pair = Pair::<F>::new(Transport::Tcp);
            let sent = pair.establish();
            let back = translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000));
            if client_ends { pair.there(FIN | ACK) } else { pair.back(sent, FIN | ACK) };
            for _ in 0..10 {
                pair.world.wait(3000 * SECOND);
                assert_eq!(pair.world.collect().removed, 0);
                // Data on one way, its acknowledgement on the other.
                assert_eq!(pair.there(ACK), sent);
                assert_eq!(pair.back(sent, ACK), back);
            }
            assert_eq!(pair.world.flows.len(), 2);
        }
    }

    /// RFC 9293, 3.6: both FINs cross; each side then acknowledges the other's.
    fn a_simultaneous_close_ends_in_time_wait<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        let back = translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000));
        assert_eq!(pair.back(sent, FIN | ACK), back);
        assert_eq!(pair.there(FIN | ACK), sent);
        assert_eq!(pair.back(sent, ACK), back);
        assert_eq!(pair.there(ACK), sent);
        // What was lost is sent again, a while later.
        pair.world.wait(60 * SECOND);
        assert_eq!(pair.back(sent, FIN | ACK), back);
        assert_eq!(pair.there(ACK), sent);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 2));
        lasts(&pair.world, FlowState::TimeWait);
    }

    /// A forged or late reset ends nothing: both ends have ignored it and go on, an hour later still.
    fn a_stray_reset_ends_nothing<F>() {
        for from_client in [true, false] {
            let pair = Pair::<F>::new(Transport::Tcp);
            let sent = pair.establish();
            let back = translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000));
            if from_client { pair.there(RST) } else { pair.back(sent, RST) };
            pair.world.wait(3500 * SECOND);
            assert_eq!(pair.world.collect().states, [FlowState::Reset]);
            for _ in 0..2 {
                assert_eq!(pair.back(sent, ACK), back);
                assert_eq!(pair.there(ACK), sent);
            }
            assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (2, 0));
            assert_eq!(pair.world.collect().states, [FlowState::Established]);
        }
    }

    /// A handshake that nobody finishes holds its tuple for a minute, not for a day.
    fn a_handshake_that_is_never_finished_gives_its_port_back<F>() {
        let mut world = World::<F>::new();
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2000);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Tcp, vip, &[backend]);
        let clients = [at::<F>(OUTSIDE, 1), at::<F>(OUTSIDE, 2)];
        let sent = world.send(UPLINK_IN, &open(Transport::Tcp, clients[0], vip));
        world.send(UPLINK_IN, &open(Transport::Tcp, backend, sent.src).with(SYN | ACK));
        world.wait(seconds(FlowState::SynReceived) * SECOND);
        assert_ne!(world.send(UPLINK_IN, &open(Transport::Tcp, clients[1], vip)).dst, backend);
        world.wait(2 * SECOND);
        assert_eq!(world.send(UPLINK_IN, &open(Transport::Tcp, clients[1], vip)).dst, backend);
    }
}

/// Tables in which packets go on while the collector works: before its nth writing.
struct Busy<'w, F: Net> {
    pair: &'w Pair<F>,
    writes: Cell<u32>,
    nth: u32,
    packet: &'w dyn Fn(),
}

impl<F: Net> FlowTables<F::Addr> for Busy<'_, F> {
    type Error = Infallible;

    fn find(&self, key: &Key<F>) -> Result<Option<(Home, Record<F>)>, Infallible> {
        self.pair.world.find(key)
    }

    fn take(&self, home: Home, key: &Key<F>, judged: &Record<F>) -> Result<bool, Infallible> {
        self.writes.set(self.writes.get() + 1);
        if self.writes.get() == self.nth {
            (self.packet)();
        }
        self.pair.world.take(home, key, judged)
    }

    fn put_back(&self, home: Home, key: &Key<F>, record: &Record<F>) -> Result<(), Infallible> {
        self.pair.world.put_back(home, key, record)
    }

    fn generation(&self, backend: BackendId) -> Option<u32> {
        self.pair.world.generation(backend)
    }
}

everywhere! {
    /// A packet at the last moment, from either side, before either entry is taken away.
    fn a_packet_at_the_last_moment_finds_a_whole_flow<F>(transport) {
        for (nth, is_client, meets_client) in
            [1, 2].into_iter().flat_map(|nth| [(nth, true, true), (nth, true, false), (nth, false, true), (nth, false, false)])
        {
            let pair = Pair::<F>::new(transport);
            let sent = pair.establish();
            pair.world.wait(25 * 3600 * SECOND);
            let (_, key, record) =
                pair.world.entries().into_iter().find(|entry| entry.2.recipe.is_original() == meets_client).unwrap();
            let judge = Judge { now: pair.world.now(), timeouts: Timeouts::DEFAULT };
            let packet = || _ = if is_client { pair.there(ACK) } else { pair.back(sent, ACK) };
            let busy = Busy { pair: &pair, writes: Cell::new(0), nth, packet: &packet };
            let Ok(met) = judge.meet(&busy, &key, &record);
            assert!(busy.writes.get() >= nth, "the packet came too late");
            // Datagrams, and the client whose entry had gone, may have another backend.
            let there = pair.there(ACK);
            assert_eq!(pair.back(there, ACK).dst, at::<F>(POD, 40000));
            assert_eq!(pair.there(ACK), there);
            assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (2, 0), "{nth} {is_client} {met:?}");
            if !is_client || nth == 1 {
                assert_eq!((there, met.removed), (sent, 0));
            }
        }
    }

    /// A table that made room with the answers' entry of an established flow whose client goes on: nobody would
    /// notice, and the tuple could become another flow's.
    fn half_of_an_established_flow_is_made_whole<F>(transport) {
        let mut world = World::<F>::new();
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2001);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        let clients = [at::<F>(OUTSIDE, 1), at::<F>(OUTSIDE, 2)];
        let speaks = |client, flags| world.send(UPLINK_IN, &open(transport, client, vip).with(flags));
        let sent = speaks(clients[0], SYN);
        let answers = |flags| world.send(UPLINK_IN, &open(transport, sent.dst, sent.src).with(flags));
        let answer = answers(SYN | ACK);
        assert_eq!(speaks(clients[0], ACK), sent);
        world.flows.retain(|entry| entry.recipe.is_original());
        assert_eq!(world.collect().demoted, 1);
        assert_eq!(speaks(clients[0], ACK), sent, "the tuple is free: it is kept");
        assert_eq!(answers(ACK), answer);
        assert_eq!(speaks(clients[0], ACK), sent);
        assert_eq!((world.flows.len(), world.half_open.len()), (2, 0), "whole again");

        world.flows.retain(|entry| entry.recipe.is_original());
        let other = (0..64).find_map(|_| {
            let other = speaks(clients[1], SYN);
            if other.src == sent.src { Some(other) } else { speaks(clients[1], RST); None }
        });
        assert!(other.is_some() || transport == Transport::Udp, "the tuple becomes another's");
        if other.is_some() {
            assert_eq!(world.collect().demoted, 1);
            assert_ne!(speaks(clients[0], ACK).src, sent.src, "and is not shared");
        }
    }

    fn half_of_a_flow_is_forgotten_as_well<F>(transport) {
        for keeps_client in [true, false] {
            let pair = Pair::<F>::new(transport);
            pair.establish();
            pair.world.flows.retain(|entry| entry.recipe.is_original() == keeps_client);
            pair.world.wait(25 * 3600 * SECOND);
            assert_eq!(pair.world.collect().removed, 1);
            assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 0));
        }
    }
}
