//! The decision at a socket call.

use std::net::SocketAddr;

use svclb_common::{
    config::SocketMode,
    socket::{Socket, SocketVerdict, named_by, towards},
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{FAR, FAR2, NODE, Net, VIP, VIP2, World, at, everywhere, families};

const HOST: bool = true;
const IN_POD: bool = false;

/// A socket that is translated: of a pod's datagram sockets those are that are not connected.
fn socket(transport: Transport, in_host: bool) -> Socket {
    let unconnected = !in_host && transport == Transport::Udp;
    Socket { cookie: 0x1_0000_0007, in_host, transport, port: 0, unconnected, connected: false }
}

/// A datagram socket that is about to be connected.
fn fixed(cookie: u64, in_host: bool) -> Socket {
    Socket { cookie, in_host, transport: Transport::Udp, port: 0, unconnected: false, connected: false }
}

/// A UDP socket that names the destination of each datagram.
fn free(cookie: u64) -> Socket {
    Socket { cookie, in_host: HOST, transport: Transport::Udp, port: 0, unconnected: true, connected: false }
}

fn call<F: Net>(world: &World<F>, socket: Socket, end: SocketAddr) -> SocketVerdict<F::Addr> {
    towards(world, socket, F::addr(end.ip()), end.port().to_be())
}

fn to<F: Net>(end: SocketAddr) -> SocketVerdict<F::Addr> {
    SocketVerdict::To(F::addr(end.ip()), end.port().to_be())
}

/// Where a call went, by the name of the backend.
fn sent<F: Net>(world: &World<F>, socket: Socket, end: SocketAddr) -> SocketAddr {
    let verdict = call(world, socket, end);
    let backends = [FAR, FAR2].map(|n| at::<F>(n, 8080));
    backends.into_iter().find(|end| verdict == to::<F>(*end)).expect("one of the backends")
}

/// Asserts that the socket calls `backend` by the name `end`.
fn assert_named<F: Net>(world: &World<F>, socket: Socket, backend: SocketAddr, end: SocketAddr) {
    let named = named_by(world, socket, F::addr(backend.ip()), backend.port().to_be());
    assert_eq!(named, Some((F::addr(end.ip()), end.port().to_be())));
}

everywhere! {
    fn a_mode_says_whose_sockets<F>(transport) {
        for (mode, in_host, translated) in [
            (SocketMode::All, HOST, true),
            (SocketMode::All, IN_POD, true),
            (SocketMode::Host, HOST, true),
            (SocketMode::Host, IN_POD, false),
            (SocketMode::Off, HOST, false),
            (SocketMode::Off, IN_POD, false),
        ] {
            let mut world = World::<F>::new().with_sockets(mode);
            let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
            world.serve(transport, vip, &[backend]);
            let verdict = call(&world, socket(transport, in_host), vip);
            assert_eq!(verdict, if translated { to::<F>(backend) } else { SocketVerdict::Keep });
            let direct = call(&world, socket(transport, in_host), backend);
            assert_eq!(direct, SocketVerdict::Keep, "no Service's");
        }
    }

    fn a_peer_keeps_the_name_that_the_process_used<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        let socket = socket(transport, IN_POD);
        call(&world, socket, vip);
        assert_named(&world, socket, backend, vip);
        let other = Socket { cookie: socket.cookie & 0xffff_ffff, ..socket };
        assert_eq!(named_by(&world, other, F::addr(backend.ip()), backend.port().to_be()), None);
        assert_eq!(named_by(&world, socket, F::addr(backend.ip()), 1), None);
        assert_eq!(world.picks.borrow().values().sum::<u32>(), 1);
    }

    fn a_loopback_node_port_is_the_hosts_alone<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let backend = at::<F>(FAR, 8080);
        let id = world.add_backend(transport, backend, false);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        let (loopback, node) = (SocketAddr::new(F::LOOPBACK, 30080), at::<F>(NODE, 30080));
        assert_eq!(call(&world, socket(transport, HOST), loopback), to::<F>(backend));
        assert_eq!(call(&world, socket(transport, IN_POD), loopback), SocketVerdict::Keep);
        assert_eq!(call(&world, socket(transport, HOST), node), to::<F>(backend));
        assert_eq!(call(&world, socket(transport, IN_POD), node), to::<F>(backend));
        let elsewhere = at::<F>(FAR, 30080);
        assert_eq!(call(&world, socket(transport, HOST), elsewhere), SocketVerdict::Keep);
    }

    fn nobody_serves<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        world.serve(transport, at::<F>(VIP, 80), &[]);
        let verdict = call(&world, socket(transport, IN_POD), at::<F>(VIP, 80));
        assert_eq!(verdict, SocketVerdict::Fail(DropReason::NoBackend));
    }

    /// Its packets are translated at its device, whatever the mode says.
    fn a_pod_that_has_opted_out_is_left_alone<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let (vip, empty, backend) = (at::<F>(VIP, 80), at::<F>(VIP2, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        world.serve(transport, empty, &[]);
        world.add_cluster_ip(vip.ip(), 32);
        world.opted_out = true;
        let refused = SocketVerdict::Fail(DropReason::UnknownPort);
        for (end, host) in [
            (vip, to::<F>(backend)),
            (empty, SocketVerdict::Fail(DropReason::NoBackend)),
            (at::<F>(VIP, 81), if transport == Transport::Udp { SocketVerdict::Keep } else { refused }),
        ] {
            assert_eq!(call(&world, socket(transport, IN_POD), end), SocketVerdict::Keep);
            assert_eq!(call(&world, socket(transport, HOST), end), host, "the host's packets are not translated");
        }
    }

    /// The answer of an end that the socket has called by a Service's name, and then by its own.
    fn an_end_that_is_called_directly_has_its_own_name<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        for in_host in [HOST, IN_POD] {
            let socket = socket(transport, in_host);
            assert_eq!(call(&world, socket, vip), to::<F>(backend));
            assert_named(&world, socket, backend, vip);
            assert_eq!(call(&world, socket, backend), SocketVerdict::Keep);
            assert_named(&world, socket, backend, backend);
            assert_eq!(call(&world, socket, vip), to::<F>(backend));
            assert_named(&world, socket, backend, vip);
        }
    }

    fn an_exact_frontend_goes_before_a_node_port<F>(transport) {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let front = at::<F>(NODE, 30080);
        world.serve(transport, front, &[at::<F>(FAR, 1)]);
        let id = world.add_backend(transport, at::<F>(FAR, 2), false);
        let service = world.add_service(&[id]);
        world.add_node_port(transport, 30080, service);
        assert_eq!(call(&world, socket(transport, HOST), front), to::<F>(at::<F>(FAR, 1)));
    }
}

families! {
    fn datagrams_keep_to_a_backend_per_socket_and_frontend<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vip, ends) = (at::<F>(VIP, 80), [at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        world.serve(Transport::Udp, vip, &ends);
        let mut used = Vec::new();
        for cookie in 1..=64 {
            let first = sent(&world, free(cookie), vip);
            for _ in 0..4 {
                assert_eq!(sent(&world, free(cookie), vip), first);
            }
            assert_named(&world, free(cookie), first, vip);
            used.push(first);
        }
        assert!(ends.iter().all(|end| used.contains(end)));
        assert_eq!(world.picks.borrow().values().sum::<u32>(), 64, "a datagram is no new flow");
    }

    fn datagrams_leave_a_backend_that_is_gone<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vip, ends) = (at::<F>(VIP, 80), [at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        let service = world.serve(Transport::Udp, vip, &ends);
        let first = sent(&world, free(1), vip);
        let (gone, other) = if first == ends[0] { (1, 2) } else { (2, 1) };
        world.set_backends(service, &[other]);
        world.retire(gone);
        let moved = sent(&world, free(1), vip);
        assert_ne!(moved, first);
        assert_named(&world, free(1), moved, vip);
    }

    /// Two frontends, one backend, one socket: an answer can only be named by the one
    /// that was asked last.
    fn an_answer_has_the_name_that_was_asked_last<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vips, backend) = ([at::<F>(VIP, 80), at::<F>(VIP2, 80)], at::<F>(FAR, 8080));
        let service = world.serve(Transport::Udp, vips[0], &[backend]);
        world.add_frontend(Transport::Udp, vips[1], service);
        for vip in [vips[0], vips[1], vips[0], vips[0], vips[1]] {
            assert_eq!(sent(&world, free(1), vip), backend);
            assert_named(&world, free(1), backend, vip);
        }
    }
    /// Nothing could take it away from a backend that goes; its packets can be.
    fn a_connected_datagram_socket_of_a_pod_is_left_alone<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let (vip, empty, backend) = (at::<F>(VIP, 80), at::<F>(VIP2, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Udp, vip, &[backend]);
        world.serve(Transport::Udp, empty, &[]);
        let connected = Socket { in_host: IN_POD, connected: true, ..free(1) };
        for end in [vip, empty, backend] {
            assert_eq!(call(&world, fixed(1, IN_POD), end), SocketVerdict::Keep);
            // It may name its end again; the kernel drops whatever another one answers.
            assert_eq!(call(&world, connected, end), SocketVerdict::Keep);
        }
        assert_eq!(call(&world, fixed(1, HOST), vip), to::<F>(backend));
    }

    /// The kernel makes a call for each datagram of a connected socket of both families that has
    /// an IPv4 address at its other end; and any process may name the end that it is connected to.
    fn a_connected_datagram_socket_of_the_host_keeps_its_backend<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vip, ends) = (at::<F>(VIP, 80), [at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        world.serve(Transport::Udp, vip, &ends);
        for cookie in 1..=32 {
            let backend = sent(&world, fixed(cookie, HOST), vip);
            let connected = Socket { connected: true, ..free(cookie) };
            for _ in 0..4 {
                assert_eq!(sent(&world, connected, vip), backend);
                assert_eq!(call(&world, connected, backend), SocketVerdict::Keep);
                assert_named(&world, connected, backend, vip);
            }
            // A new connection is a new choice, and again one.
            let second = sent(&world, fixed(cookie, HOST), vip);
            assert_eq!(sent(&world, connected, vip), second);
        }
    }

    /// An answer that is late comes from an end that the socket does not send to any more.
    fn a_late_answer_has_its_name<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vip, ends) = (at::<F>(VIP, 80), [at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        let service = world.serve(Transport::Udp, vip, &ends);
        let first = sent(&world, free(1), vip);
        let (gone, other) = if first == ends[0] { (1, 2) } else { (2, 1) };
        world.set_backends(service, &[other]);
        world.retire(gone);
        let moved = sent(&world, free(1), vip);
        for backend in [first, moved] {
            assert_named(&world, free(1), backend, vip);
        }
        world.remove_frontend(Transport::Udp, vip);
        assert_eq!(call(&world, free(1), vip), SocketVerdict::Keep);
        assert_named(&world, free(1), moved, vip);
    }

    fn a_socket_that_was_there_before_the_service<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::Host);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        assert_eq!(call(&world, free(1), vip), SocketVerdict::Keep);
        world.serve(Transport::Udp, vip, &[backend]);
        assert_eq!(call(&world, free(1), vip), to::<F>(backend));
        assert_named(&world, free(1), backend, vip);
    }
}
