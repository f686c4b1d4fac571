//! Direct server return on two simulated nodes: the client's packets pass both, the answers one.

use std::net::SocketAddr;

use svclb_common::{
    config::{BPF_LOOP, DSR_TCP, DSR_UDP},
    flow::Action,
    service::{FrontendKind, List, SERVICE_RESTRICTED},
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    ACK, FAR, FAR2, FIN, NODE, Net, OUTSIDE, POD, POD_IN, RST, SECOND, SYN, Sent, Sketch, UPLINK_IN,
    UPLINK_OUT, VIP, VIP2, Verdict, World, at, cut, ends, everywhere, extend, families, join, next, open,
    options, reply, translated, untouched, verify, with_sums,
};

/// The node of the backends.
const NODE2: u16 = 2;

/// A client outside, the node that it sends to, and the node of the backends.
struct Two<F: Net> {
    first: World<F>,
    second: World<F>,
    transport: Transport,
    client: SocketAddr,
    vip: SocketAddr,
}

/// A load balancer's address and a node port of the same service.
fn serve<F: Net>(world: &mut World<F>, transport: Transport, is_local: bool) {
    let ids = [FAR, FAR2].map(|backend| world.add_backend(transport, at::<F>(backend, 8080), is_local));
    let service = world.add_service(&ids);
    world.add_frontend_of(FrontendKind::LoadBalancer, transport, at::<F>(VIP, 80), service);
    world.add_frontend_of(FrontendKind::ClusterIp, transport, at::<F>(VIP2, 80), service);
    world.add_node_port(transport, 30080, service);
}

impl<F: Net> Two<F> {
    fn new(transport: Transport) -> Self {
        let mut first = World::new().with_flags(DSR_TCP | DSR_UDP);
        let mut second = World::new().with_address(NODE2);
        serve(&mut first, transport, false);
        serve(&mut second, transport, true);
        Self { first, second, transport, client: at::<F>(OUTSIDE, 50000), vip: at::<F>(VIP, 80) }
    }

    fn sketch(&self, flags: u8) -> Sketch {
        open(self.transport, self.client, self.vip).with(flags)
    }

    /// Sends to the first node, which leaves the packet as it is; the backend that it names.
    fn there(&self, flags: u8) -> std::net::IpAddr {
        let sketch = self.sketch(flags);
        let sent = self.first.send(UPLINK_IN, &sketch);
        let Verdict::Tunnelled(from, to) = sent.verdict else { panic!("{sent:?}") };
        assert_eq!((sent.src, sent.dst, from), (self.client, self.vip, F::host(NODE)));
        to
    }

    /// Sends over both nodes to the backend.
    fn through(&self, flags: u8) -> Sent {
        let to = self.there(flags);
        let sent = self.second.unwrap(to, &self.sketch(flags));
        assert_eq!(sent, translated(Action::Pass, 0, sent.src, SocketAddr::new(to, 8080)));
        sent
    }

    /// Answers what the backend got; the answer leaves the second node.
    fn back(&self, sent: Sent, flags: u8) {
        let answer = reply(self.transport, sent.dst, sent.src).with(flags);
        let back = translated(Action::Pass, 0, self.vip, self.client);
        assert_eq!(self.second.send(UPLINK_OUT, &answer), back);
    }
}

everywhere! {
    fn each_packet_names_the_backend_and_the_answer_leaves_by_its_node<F>(transport) {
        let two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        assert_eq!(sent.src, two.client, "the client's own address");
        two.back(sent, SYN | ACK);
        for _ in 0..3 {
            assert_eq!(two.through(ACK), sent);
            two.back(sent, ACK);
        }
        assert_eq!((two.first.flows.len(), two.first.half_open.len()), (1, 0), "one way only");
        assert_eq!((two.second.flows.len(), two.second.half_open.len()), (2, 0));
    }

    fn a_node_port_of_the_first_node_is_known_by_its_port<F>(transport) {
        let mut two = Two::<F>::new(transport);
        two.vip = at::<F>(NODE, 30080);
        let sent = two.through(SYN);
        two.back(sent, SYN | ACK);
        assert_eq!(two.through(ACK), sent);
    }

    fn a_flow_goes_on_though_the_second_node_has_forgotten_it<F>(transport) {
        let two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        two.back(sent, SYN | ACK);
        two.through(ACK);
        two.second.flows.clear();
        two.second.half_open.clear();
        assert_eq!(two.through(ACK), sent);
        two.back(sent, ACK);
    }

    fn half_a_flow_on_the_second_node_becomes_whole<F>(transport) {
        let two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        two.second.half_open.retain(|entry| entry.recipe.is_original());
        assert_eq!(two.through(ACK), sent);
        two.back(sent, ACK);
    }

    fn a_repeated_first_packet_keeps_its_backend<F>(transport) {
        let two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        for seconds in [1, 2, 4, 8] {
            two.first.wait(seconds * SECOND);
            two.second.wait(seconds * SECOND);
            assert_eq!(two.through(SYN), sent);
        }
    }

    fn other_clients_and_other_frontends_are_as_before<F>(transport) {
        let two = Two::<F>::new(transport);
        let internal = open(transport, two.client, at::<F>(VIP2, 80));
        let sent = two.first.send(UPLINK_IN, &internal);
        assert_eq!(sent.verdict, Verdict::Translated(Action::Forward, 0), "a ClusterIP");
        let pod = open(transport, at::<F>(POD, 40000), two.vip);
        let sent = two.first.send(POD_IN, &pod);
        assert_eq!(sent.verdict, Verdict::Translated(Action::Pass, 0), "a pod of this node");
    }

    fn a_way_without_room_for_the_outer_header_is_not_taken<F>(transport) {
        let two = Two::<F>::new(transport);
        two.first.mtu.set(F::MIN_MTU + size_of::<F::Header>() as u16 - 1);
        let sent = two.first.send(UPLINK_IN, &two.sketch(SYN));
        assert_eq!(sent.verdict, Verdict::Translated(Action::Forward, 0));
        two.first.mtu.set(1500);
        let sent = two.first.send(UPLINK_IN, &two.sketch(ACK));
        assert_eq!(sent.verdict, Verdict::Translated(Action::Forward, 0), "and the flow stays as it began");
    }

    fn a_backend_that_is_not_here_gets_nothing<F>(transport) {
        let two = Two::<F>::new(transport);
        let sketch = two.sketch(SYN);
        let bad = Verdict::Dropped(DropReason::BadTunnel);
        assert_eq!(two.second.unwrap(F::host(77), &sketch), untouched(bad, &sketch));
        // A node port may be anybody's port.
        let sketch = open(transport, two.client, at::<F>(NODE, 30080));
        assert_eq!(two.second.unwrap(F::host(77), &sketch), untouched(Verdict::NotOurs, &sketch));
    }

    fn packets_in_packets_of_others_stay_as_they_are<F>(transport) {
        let two = Two::<F>::new(transport);
        // To a backend, but not for a Service; for a Service, but inside the cluster; on its way
        // to another node.
        let strange = open(transport, two.client, at::<F>(VIP, 81));
        assert_eq!(two.second.unwrap(F::host(FAR), &strange), untouched(Verdict::NotOurs, &strange));
        let internal = open(transport, two.client, at::<F>(VIP2, 80));
        assert_eq!(two.second.unwrap(F::host(FAR), &internal), untouched(Verdict::NotOurs, &internal));
        let transit = two.sketch(SYN);
        assert_eq!(two.first.unwrap(F::host(FAR), &transit), untouched(Verdict::NotOurs, &transit));
    }

    fn the_second_node_asks_for_source_ranges_as_well<F>(transport) {
        let mut two = Two::<F>::new(transport);
        two.second.set_policy(1, SERVICE_RESTRICTED, 0);
        let sketch = two.sketch(SYN);
        let refused = Verdict::Dropped(DropReason::SourceRange);
        assert_eq!(two.second.unwrap(F::host(FAR), &sketch), untouched(refused, &sketch));
        two.second.admit(1, two.client.ip(), 32);
        assert_eq!(two.second.unwrap(F::host(FAR), &sketch).dst, at::<F>(FAR, 8080));
    }

    fn a_backend_that_gets_nothing_new_keeps_its_flows<F>(transport) {
        let mut two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        two.second.set_list(1, List::Cluster, &[]);
        two.second.set_list(1, List::Idle, &[1, 2]);
        two.second.flows.clear();
        two.second.half_open.clear();
        assert_eq!(two.through(ACK), sent);
    }

    fn a_backend_is_known_at_any_place_of_its_list<F>(transport) {
        const MANY: u16 = 300;
        for (has_loop, place, is_known) in [(true, 250, true), (true, 0, true), (false, 250, false), (false, 10, true)] {
            let mut two = Two::<F>::new(transport);
            if !has_loop {
                two.second.config.flags &= !BPF_LOOP;
            }
            let ids: Vec<_> = (0..MANY)
                .map(|n| two.second.add_backend(transport, at::<F>(1000 + n, 8080), n == place))
                .collect();
            two.second.set_backends(1, &ids);
            let to = F::host(1000 + place);
            let verdict = if is_known { Verdict::Translated(Action::Pass, 0) } else { Verdict::NotOurs };
            assert_eq!(two.second.unwrap(to, &two.sketch(SYN)).verdict, verdict, "{has_loop} {place}");
            let transit = two.second.unwrap(F::host(1000 + MANY - 1), &two.sketch(SYN)).verdict;
            assert_eq!(transit, Verdict::NotOurs, "of another node");
            let gone = two.second.unwrap(F::host(77), &two.sketch(SYN)).verdict;
            let bad = if has_loop { Verdict::Dropped(DropReason::BadTunnel) } else { Verdict::NotOurs };
            assert_eq!(gone, bad, "nobody's");
        }
    }

    fn the_client_may_talk_to_the_backend_itself_from_the_same_port<F>(transport) {
        let mut two = Two::<F>::new(transport);
        let sent = two.through(SYN);
        two.vip = at::<F>(NODE, 30080);
        let other = two.second.unwrap(sent.dst.ip(), &two.sketch(SYN));
        assert_ne!(other.src, sent.src, "another source port");
        assert_eq!(other.dst, sent.dst);
        two.back(other, SYN | ACK);
        two.vip = at::<F>(VIP, 80);
        two.back(sent, SYN | ACK);
    }
}

with_sums! {
    fn fragments_are_taken_out_behind_their_first_one<F>(transport) {
        let two = Two::<F>::new(transport);
        let to = two.there(SYN);
        let whole = Sketch { payload: (0..100).collect(), ..two.sketch(SYN) }.build();
        let pieces = cut(&whole, 7, &[3, 4, 3]);
        let early = two.second.pass_inside(to, &pieces[1]);
        assert_eq!((early.verdict, early.frame), (Verdict::NotOurs, pieces[1].clone()));
        let sent: Vec<_> = pieces
            .iter()
            .map(|piece| {
                let there = two.first.pass(UPLINK_IN, piece);
                assert_eq!(there.verdict, Verdict::Tunnelled(F::host(NODE), to));
                let sent = two.second.pass_inside(to, &there.frame);
                assert_eq!(sent.verdict, Verdict::Translated(Action::Pass, 0));
                sent.frame
            })
            .collect();
        let joined = join(&sent);
        verify(&joined);
        assert_eq!(ends(&joined), (two.client, SocketAddr::new(to, 8080)));
        let elsewhere = two.second.pass_inside(F::host(77), &pieces[1]);
        assert_eq!((elsewhere.verdict, elsewhere.frame), (Verdict::NotOurs, pieces[1].clone()), "to somebody else");
    }
}

families! {
    fn headers_with_more_in_them_are_looked_behind<F>() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let two = Two::<F>::new(transport);
            let to = two.there(SYN);
            for flags in [SYN, ACK, ACK] {
                let frame = if F::host(0).is_ipv4() {
                    Sketch { options: vec![1; 8], ..two.sketch(flags) }.build()
                } else {
                    extend(&two.sketch(flags).build(), &[options(60, 1)])
                };
                let sent = two.second.pass_inside(to, &frame);
                assert_eq!(sent.verdict, Verdict::Translated(Action::Pass, 0));
                verify(&sent.frame);
                assert_eq!(ends(&sent.frame), (two.client, SocketAddr::new(to, 8080)));
            }
        }
    }

    fn a_client_that_opens_anew_goes_where_the_outer_packet_says<F>() {
        let two = Two::<F>::new(Transport::Tcp);
        let sent = two.through(SYN);
        let other = if sent.dst.ip() == F::host(FAR) { FAR2 } else { FAR };
        // In the middle of a connection the flow stays with whom it began.
        let middle = two.second.unwrap(F::host(other), &two.sketch(ACK));
        assert_eq!(middle.dst, sent.dst);
        let opened = two.second.unwrap(F::host(other), &two.sketch(SYN));
        assert_eq!(opened.dst, at::<F>(other, 8080));
        two.back(opened, SYN | ACK);
        let late = reply(Transport::Tcp, sent.dst, sent.src);
        assert_eq!(two.second.send(UPLINK_OUT, &late), untouched(Verdict::NotOurs, &late));
    }

    fn every_datagram_goes_where_the_outer_packet_says<F>() {
        let two = Two::<F>::new(Transport::Udp);
        for backend in [FAR, FAR2, FAR] {
            let sent = two.second.unwrap(F::host(backend), &two.sketch(0));
            assert_eq!(sent.dst, at::<F>(backend, 8080));
            two.back(sent, 0);
        }
    }

    fn a_datagram_leaves_a_backend_that_is_gone<F>() {
        let mut two = Two::<F>::new(Transport::Udp);
        let to = two.there(0);
        assert_eq!(two.there(0), to);
        assert_eq!(two.first.flows.len(), 1, "a client that goes on is established");
        let (gone, left) = if to == F::host(FAR) { (1, 2) } else { (2, 1) };
        two.first.set_backends(1, &[left]);
        two.first.retire(gone);
        assert_ne!(two.there(0), to);
    }

    fn tcp_stays_with_a_backend_that_is_gone_but_for_what_opens<F>() {
        let mut two = Two::<F>::new(Transport::Tcp);
        let to = two.there(SYN);
        two.there(ACK);
        let (gone, left) = if to == F::host(FAR) { (1, 2) } else { (2, 1) };
        two.first.set_backends(1, &[left]);
        two.first.retire(gone);
        assert_eq!(two.there(ACK), to);
        assert_ne!(two.there(SYN), to);
    }

    fn the_end_of_a_connection_goes_where_the_connection_went<F>() {
        for last in [FIN | ACK, RST] {
            let two = Two::<F>::new(Transport::Tcp);
            let to = two.there(SYN);
            two.there(ACK);
            assert_eq!(two.there(last), to);
            assert_eq!(two.there(ACK), to);
            let is_reset = last == RST;
            assert_eq!(two.first.half_open.len(), usize::from(is_reset), "a reset makes room");
        }
    }

    fn hybrid_is_for_tcp_alone<F>() {
        for (transport, action) in [(Transport::Tcp, None), (Transport::Udp, Some(Action::Forward))] {
            let mut two = Two::<F>::new(transport);
            two.first.config.flags &= !DSR_UDP;
            let sent = two.first.send(UPLINK_IN, &two.sketch(SYN));
            match action {
                Some(action) => assert_eq!(sent.verdict, Verdict::Translated(action, 0)),
                None => assert!(matches!(sent.verdict, Verdict::Tunnelled(..))),
            }
        }
    }

    fn a_flow_that_was_translated_by_the_node_stays_so<F>() {
        let mut two = Two::<F>::new(Transport::Tcp);
        two.first.config.flags &= !(DSR_TCP | DSR_UDP);
        let sent = two.first.send(UPLINK_IN, &two.sketch(SYN));
        two.first.config.flags |= DSR_TCP | DSR_UDP;
        assert_eq!(two.first.send(UPLINK_IN, &two.sketch(ACK)), sent);
        two.first.half_open.retain(|entry| entry.recipe.is_original());
        assert_eq!(two.first.send(UPLINK_IN, &next(Transport::Tcp, two.client, two.vip)), sent);
    }
}
