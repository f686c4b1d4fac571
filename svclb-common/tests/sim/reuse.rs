//! When a tuple is free again, and that it never belongs to two flows.

use svclb_common::{balance::LOOPBACK_IFINDEX, flow::Action, wire::Transport};

use crate::{
    pair::Pair,
    world::{
        ACK, FAR, FIN, LO_OUT, NODE, OUTSIDE, POD, POD_IN, POD_OUT, RST, SECOND, SYN, Sketch, UPLINK,
        UPLINK_IN, UPLINK_OUT, VIP, VIP2, Verdict, World, at, everywhere, families, next, open, reply,
        translated, untouched,
    },
};

everywhere! {
    /// Two virtual addresses with one backend, reached from one client port.
    fn a_clash_takes_another_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, backend) = (at::<F>(POD, 40000), at::<F>(FAR, 8080));
        let vips = [at::<F>(VIP, 80), at::<F>(VIP2, 80)];
        let service = world.serve(transport, vips[0], &[backend]);
        world.add_frontend(transport, vips[1], service);
        let sent = vips.map(|vip| world.send(POD_IN, &open(transport, client, vip)));
        assert_eq!(sent[0], translated(Action::Pass, 0, client, backend));
        assert_eq!(sent[1], translated(Action::Pass, 0, sent[1].src, backend));
        assert_eq!(sent[1].src.ip(), client.ip());
        assert_ne!(sent[1].src.port(), client.port());
        for (sent, vip) in sent.into_iter().zip(vips) {
            let back = translated(Action::Pass, 0, vip, client);
            assert_eq!(world.send(POD_OUT, &reply(transport, backend, sent.src)), back);
            assert_eq!(world.send(POD_IN, &next(transport, client, vip)), sent);
            assert_eq!(world.send(POD_OUT, &next(transport, backend, sent.src)), back);
        }
    }

    /// One that was taken over, and whose first client speaks again.
    fn a_tuple_has_one_owner<F>(transport) {
        let mut world = World::<F>::new();
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2000);
        let (vip, backend, node) = (at::<F>(VIP, 80), at::<F>(FAR, 8080), at::<F>(NODE, 2000));
        world.serve(transport, vip, &[backend]);
        let clients = [at::<F>(OUTSIDE, 1), at::<F>(OUTSIDE, 2)];
        let speaks = |client, flags| world.send(UPLINK_IN, &open(transport, client, vip).with(flags));
        let answers = |flags| world.send(UPLINK_IN, &open(transport, backend, node).with(flags));
        let there = translated(Action::Forward, 0, node, backend);
        for flags in [SYN, ACK, FIN | ACK] {
            assert_eq!(speaks(clients[0], flags), there);
            answers(flags | ACK);
        }
        world.wait(200 * SECOND);
        assert_eq!(speaks(clients[1], SYN), there);
        assert_eq!(answers(SYN | ACK), translated(Action::Forward, 0, vip, clients[1]));
        for flags in [ACK, FIN | ACK, SYN, RST] {
            assert_ne!(speaks(clients[0], flags), there, "the tuple is another client's by now");
            assert_eq!(answers(ACK), translated(Action::Forward, 0, vip, clients[1]));
        }
    }
}

families! {
    fn a_busy_one_way_flow_keeps_its_tuple<F>() {
        let mut world = World::<F>::new();
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2000);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Udp, vip, &[backend]);
        let clients = [at::<F>(OUTSIDE, 1), at::<F>(OUTSIDE, 2)];
        let speaks = |client| world.send(UPLINK_IN, &open(Transport::Udp, client, vip));
        for _ in 0..10 {
            assert_eq!(speaks(clients[0]).dst, backend);
            world.wait(30 * SECOND);
        }
        assert_ne!(speaks(clients[1]).dst, backend, "the only port is in use");
        let back = world.send(UPLINK_IN, &open(Transport::Udp, backend, at::<F>(NODE, 2000)));
        assert_eq!(back, translated(Action::Forward, 0, vip, clients[0]));
        world.wait(122 * SECOND);
        assert_eq!(speaks(clients[1]).dst, backend, "nobody uses the port");
    }

    fn a_port_used_again_does_not_wait_for_a_dead_backend<F>() {
        let mut pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        pair.retire(sent);
        pair.world.wait(60 * SECOND);
        assert_eq!(pair.there(SYN), sent, "it might live on: its answer decides");
        pair.world.wait(SECOND);
        assert_ne!(pair.there(SYN).dst, sent.dst, "no answer");
    }

    fn a_port_is_used_again_after_both_fins<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        pair.selects_anew(|sent| {
            pair.back(sent, SYN | ACK);
            assert_eq!(pair.there(ACK), sent);
            assert_eq!(pair.there(FIN | ACK), sent);
            assert_eq!(pair.there(SYN), sent, "one side has finished, not both");
            pair.back(sent, FIN | ACK);
            assert_eq!(pair.there(ACK), sent);
            let again = pair.there(SYN);
            pair.there(RST);
            pair.there(SYN);
            again
        });
    }

    fn a_port_is_used_again_after_a_reset<F>() {
        for from_client in [true, false] {
            let pair = Pair::<F>::new(Transport::Tcp);
            let mut current = pair.there(SYN);
            pair.selects_anew(|_| {
                if from_client { pair.there(RST) } else { pair.back(current, RST | ACK) };
                current = pair.there(SYN);
                current
            });
        }
    }

    /// A client has a connection to a backend by its own address, and opens one to a Service from the same port.
    fn a_connection_of_the_clients_own_keeps_its_tuple<F>() {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Tcp, vip, &[backend]);
        let direct = [
            (POD_IN, open(Transport::Tcp, client, backend)),
            (POD_OUT, reply(Transport::Tcp, backend, client)),
            (POD_IN, next(Transport::Tcp, client, backend)),
            (POD_OUT, next(Transport::Tcp, backend, client)),
        ];
        for (place, packet) in &direct {
            assert_eq!(world.send(*place, packet), untouched(Verdict::NotOurs, packet));
        }
        let calls = |world: &mut World<F>, flags| {
            world.send(POD_IN, &open(Transport::Tcp, client, vip).with(flags))
        };
        assert_eq!(calls(&mut world, SYN), translated(Action::Pass, 0, client, backend));
        // the backend knows the tuple: its answer is the other connection's
        let (_, challenge) = &direct[3];
        assert_eq!(world.send(POD_OUT, challenge), untouched(Verdict::NotOurs, challenge));
        let again = calls(&mut world, SYN);
        assert_eq!((again.src.ip(), again.dst), (client.ip(), backend));
        assert_ne!(again.src.port(), client.port(), "the tuple is the other connection's");
        let back = world.send(POD_OUT, &reply(Transport::Tcp, backend, again.src));
        assert_eq!(back, translated(Action::Pass, 0, vip, client));
        assert_eq!(calls(&mut world, ACK), again);
        for (place, packet) in &direct[2..] {
            assert_eq!(world.send(*place, packet), untouched(Verdict::NotOurs, packet));
        }
        assert_eq!(world.send(POD_OUT, &next(Transport::Tcp, backend, again.src)), back);
    }

    /// A bare ACK is the flow's own where the client has gone on, and where the flow has a port of ours.
    fn an_answer_without_a_syn_is_the_flows_own<F>() {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Tcp, vip, &[backend]);
        for flags in [SYN, ACK] {
            world.send(POD_IN, &open(Transport::Tcp, client, vip).with(flags));
        }
        let ack = next(Transport::Tcp, backend, client);
        assert_eq!(world.send(POD_OUT, &ack), translated(Action::Pass, 0, vip, client));

        let outside = at::<F>(OUTSIDE, 40000);
        let sent = world.send(UPLINK_IN, &open(Transport::Tcp, outside, vip));
        assert_ne!(sent.src, outside);
        let ack = next(Transport::Tcp, backend, sent.src);
        assert_eq!(world.send(UPLINK_IN, &ack), translated(Action::Forward, 0, vip, outside));
    }

    /// A client talks to a backend by its virtual address, then from the same port directly.
    fn a_finished_flow_lets_go_of_its_backends_packets<F>() {
        for (client_ends, backend_ends) in [(FIN | ACK, FIN | ACK), (ACK, RST)] {
            let mut world = World::<F>::new();
            let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
            world.serve(Transport::Tcp, vip, &[backend]);
            for (there, back) in [(SYN, SYN | ACK), (ACK, ACK), (client_ends, backend_ends)] {
                world.send(POD_IN, &open(Transport::Tcp, client, vip).with(there));
                world.send(POD_OUT, &open(Transport::Tcp, backend, client).with(back));
            }
            let direct: [(_, Sketch); 2] = [
                (POD_IN, open(Transport::Tcp, client, backend)),
                (POD_OUT, reply(Transport::Tcp, backend, client)),
            ];
            for (place, packet) in direct {
                assert_eq!(world.send(place, &packet), untouched(Verdict::NotOurs, &packet));
            }
        }
    }

    /// The same between processes of the node, where all packets leave by the loopback device.
    fn a_finished_flow_lets_go_of_the_nodes_own_packets<F>() {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(NODE, 40000), at::<F>(VIP, 80), at::<F>(NODE, 8080));
        world.serve(Transport::Tcp, vip, &[backend]);
        for (there, back) in [(SYN, SYN | ACK), (ACK, ACK), (ACK, RST)] {
            let sent = world.send(UPLINK_OUT, &open(Transport::Tcp, client, vip).with(there));
            assert_eq!(sent, translated(Action::Deliver, LOOPBACK_IFINDEX, client, backend));
            let back = world.send(LO_OUT, &open(Transport::Tcp, backend, client).with(back));
            assert_eq!(back, translated(Action::Deliver, UPLINK, vip, client));
        }
        for packet in [open(Transport::Tcp, client, backend), reply(Transport::Tcp, backend, client)] {
            assert_eq!(world.send(LO_OUT, &packet), untouched(Verdict::NotOurs, &packet));
        }
    }
}
