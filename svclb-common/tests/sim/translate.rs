//! Where packets go and how replies come back, by the client's place.

use svclb_common::{config::SNAT_PORTS, flow::Action, verdict::DropReason, wire::Transport};

use crate::world::{
    FAR, LO_OUT, NODE, OUTSIDE, PEER, POD, POD_IN, POD_OUT, UPLINK, UPLINK_IN, UPLINK_OUT, VIP, Verdict,
    World, at, everywhere, next, open, reply, translated, untouched,
};

everywhere! {
    fn a_pod_reaches_a_cluster_ip<F>(transport) {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        for _ in 0..3 {
            let there = translated(Action::Pass, 0, client, backend);
            let back = translated(Action::Pass, 0, vip, client);
            assert_eq!(world.send(POD_IN, &open(transport, client, vip)), there);
            assert_eq!(world.send(POD_OUT, &reply(transport, backend, client)), back);
            assert_eq!(world.send(POD_IN, &next(transport, client, vip)), there);
            assert_eq!(world.send(POD_OUT, &next(transport, backend, client)), back);
        }
        assert_eq!(world.picks.borrow().len(), 1);
        assert_eq!((world.flows.len(), world.half_open.len()), (2, 0));
    }

    fn an_outside_client_reaches_a_local_backend_by_node_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, front, backend) = (at::<F>(OUTSIDE, 50000), at::<F>(NODE, 30080), at::<F>(PEER, 8080));
        let id = world.add_backend(transport, backend, true);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        let there = translated(Action::Pass, 0, client, backend);
        let back = translated(Action::Pass, 0, front, client);
        assert_eq!(world.send(UPLINK_IN, &open(transport, client, front)), there);
        assert_eq!(world.send(UPLINK_OUT, &reply(transport, backend, client)), back);
        assert_eq!(world.send(UPLINK_IN, &next(transport, client, front)), there);
    }

    fn an_outside_client_reaches_a_remote_backend_by_node_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, front, backend) = (at::<F>(OUTSIDE, 50000), at::<F>(NODE, 30080), at::<F>(FAR, 8080));
        let id = world.add_backend(transport, backend, false);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        let sent = world.send(UPLINK_IN, &open(transport, client, front));
        assert_eq!(sent, translated(Action::Forward, 0, sent.src, backend));
        assert_eq!(sent.src.ip(), F::host(NODE));
        assert!((SNAT_PORTS.0..=SNAT_PORTS.1).contains(&sent.src.port()));
        let back = translated(Action::Forward, 0, front, client);
        assert_eq!(world.send(UPLINK_IN, &reply(transport, backend, sent.src)), back);
        assert_eq!(world.send(UPLINK_IN, &next(transport, client, front)), sent);
        assert_eq!(world.send(UPLINK_IN, &next(transport, backend, sent.src)), back);
    }

    fn source_ports_stay_in_a_range_of_one<F>(transport) {
        let mut world = World::<F>::new();
        (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2000);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        let first = world.send(UPLINK_IN, &open(transport, at::<F>(OUTSIDE, 1), vip));
        assert_eq!(first, translated(Action::Forward, 0, at::<F>(NODE, 2000), backend));
        let second = open(transport, at::<F>(OUTSIDE, 2), vip);
        let exhausted = Verdict::Refused(DropReason::PortsExhausted);
        assert_eq!(world.send(UPLINK_IN, &second), untouched(exhausted, &second));
        let again = world.send(UPLINK_IN, &reply(transport, backend, at::<F>(NODE, 2000)));
        assert_eq!(again, translated(Action::Forward, 0, vip, at::<F>(OUTSIDE, 1)));
    }

    fn a_pod_reaches_an_external_ip_and_a_node_port<F>(transport) {
        let mut world = World::<F>::new();
        let backend = at::<F>(FAR, 8080);
        let external = at::<F>(OUTSIDE + 1, 80);
        let service = world.serve(transport, external, &[backend]);
        world.add_node_port(transport, 30080, service);
        for (port, front) in [(40000, external), (40001, at::<F>(NODE, 30080))] {
            let client = at::<F>(POD, port);
            let there = translated(Action::Pass, 0, client, backend);
            assert_eq!(world.send(POD_IN, &open(transport, client, front)), there);
            let back = translated(Action::Pass, 0, front, client);
            assert_eq!(world.send(POD_OUT, &reply(transport, backend, client)), back);
        }
    }

    fn a_pod_reaches_itself<F>(transport) {
        let mut world = World::<F>::new();
        let (pod, vip) = (at::<F>(POD, 40000), at::<F>(VIP, 80));
        let listening = at::<F>(POD, 8080);
        let id = world.add_backend(transport, listening, true);
        let service = world.add_service(&[id]);
        world.add_frontend(transport, vip, service);
        let seen_from = at::<F>(VIP, 40000);
        let there = translated(Action::Reflect, 0, seen_from, listening);
        let back = translated(Action::Reflect, 0, vip, pod);
        assert_eq!(world.send(POD_IN, &open(transport, pod, vip)), there);
        assert_eq!(world.send(POD_IN, &reply(transport, listening, seen_from)), back);
        assert_eq!(world.send(POD_IN, &next(transport, pod, vip)), there);
        assert_eq!(world.send(POD_IN, &next(transport, listening, seen_from)), back);
    }

    fn a_host_process_reaches_a_loopback_node_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, backend) = (std::net::SocketAddr::new(F::LOOPBACK, 40000), at::<F>(PEER, 8080));
        let front = std::net::SocketAddr::new(F::LOOPBACK, 30080);
        let id = world.add_backend(transport, backend, true);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        let sent = world.send(LO_OUT, &open(transport, client, front));
        assert_eq!(sent, translated(Action::Forward, 0, sent.src, backend));
        assert_eq!(sent.src.ip(), F::host(NODE), "a loopback address never leaves the node");
        let back = translated(Action::Deliver, 1, front, client);
        assert_eq!(world.send(POD_IN, &reply(transport, backend, sent.src)), back);
        assert_eq!(world.send(LO_OUT, &next(transport, client, front)), sent);
        assert_eq!(world.send(POD_IN, &next(transport, backend, sent.src)), back);
    }

    fn a_host_process_reaches_a_cluster_ip_on_another_node<F>(transport) {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(NODE, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        let there = translated(Action::Forward, 0, client, backend);
        assert_eq!(world.send(UPLINK_OUT, &open(transport, client, vip)), there);
        let back = translated(Action::Deliver, UPLINK, vip, client);
        assert_eq!(world.send(UPLINK_IN, &reply(transport, backend, client)), back);
        assert_eq!(world.send(UPLINK_OUT, &next(transport, client, vip)), there);
    }

    fn a_host_process_reaches_a_backend_in_the_hosts_own_network<F>(transport) {
        let mut world = World::<F>::new();
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(NODE, 8080));
        let service = world.serve(transport, vip, &[backend]);
        world.add_node_port(transport, 30080, service);
        // By the uplink, where the virtual address is routed to.
        let client = at::<F>(NODE, 40000);
        let there = translated(Action::Deliver, 1, client, backend);
        assert_eq!(world.send(UPLINK_OUT, &open(transport, client, vip)), there);
        let back = translated(Action::Deliver, UPLINK, vip, client);
        assert_eq!(world.send(LO_OUT, &reply(transport, backend, client)), back);
        assert_eq!(world.send(UPLINK_OUT, &next(transport, client, vip)), there);
        // By the loopback device, which the packet is on already.
        let client = std::net::SocketAddr::new(F::LOOPBACK, 40001);
        let front = std::net::SocketAddr::new(F::LOOPBACK, 30080);
        let there = translated(Action::Pass, 0, client, backend);
        assert_eq!(world.send(LO_OUT, &open(transport, client, front)), there);
        let back = translated(Action::Pass, 0, front, client);
        assert_eq!(world.send(LO_OUT, &reply(transport, backend, client)), back);
    }

    fn host_packets_are_left_alone_where_sockets_are_translated<F>(transport) {
        for mode in [svclb_common::config::SocketMode::Host, svclb_common::config::SocketMode::All] {
            let mut world = World::<F>::new().with_sockets(mode);
            let vip = at::<F>(VIP, 80);
            world.serve(transport, vip, &[at::<F>(FAR, 8080)]);
            let packet = open(transport, at::<F>(NODE, 40000), vip);
            let expected = if transport == Transport::Sctp {
                // No socket call of SCTP is translated, in no mode.
                translated(Action::Forward, 0, at::<F>(NODE, 40000), at::<F>(FAR, 8080))
            } else {
                untouched(Verdict::NotOurs, &packet)
            };
            assert_eq!(world.send(UPLINK_OUT, &packet), expected);
        }
    }

    fn packets_that_are_forwarded_out_are_not_the_hosts<F>(transport) {
        let mut world = World::<F>::new();
        let vip = at::<F>(VIP, 80);
        world.serve(transport, vip, &[at::<F>(FAR, 8080)]);
        let packet = open(transport, at::<F>(POD, 40000), vip);
        assert_eq!(world.send(UPLINK_OUT, &packet), untouched(Verdict::NotOurs, &packet));
    }

    fn a_node_port_is_served_on_local_addresses_only<F>(transport) {
        let mut world = World::<F>::new();
        let id = world.add_backend(transport, at::<F>(PEER, 8080), true);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        for place in [POD_IN, UPLINK_IN] {
            for dst in [at::<F>(FAR, 30080), std::net::SocketAddr::new(F::LOOPBACK, 30080)] {
                let packet = open(transport, at::<F>(POD, 40000), dst);
                assert_eq!(world.send(place, &packet), untouched(Verdict::NotOurs, &packet));
            }
        }
        let other = if transport == Transport::Tcp { Transport::Udp } else { Transport::Tcp };
        let packet = open(other, at::<F>(POD, 40000), at::<F>(NODE, 30080));
        assert_eq!(world.send(POD_IN, &packet), untouched(Verdict::NotOurs, &packet));
    }

    fn an_exact_frontend_goes_before_a_node_port<F>(transport) {
        let mut world = World::<F>::new();
        let front = at::<F>(NODE, 30080);
        world.serve(transport, front, &[at::<F>(FAR, 1)]);
        let id = world.add_backend(transport, at::<F>(FAR, 2), false);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        let sent = world.send(POD_IN, &open(transport, at::<F>(POD, 40000), front));
        assert_eq!(sent.dst, at::<F>(FAR, 1));
    }

    fn without_a_route_nothing_is_sent<F>(transport) {
        let mut world = World::<F>::new();
        let vip = at::<F>(VIP, 80);
        world.serve(transport, vip, &[at::<F>(FAR, 8080)]);
        world.cut(F::host(FAR));
        let packet = open(transport, at::<F>(OUTSIDE, 1), vip);
        let sent = world.send(UPLINK_IN, &packet);
        assert_eq!(sent, untouched(Verdict::Dropped(DropReason::NoRoute), &packet));
    }
}
