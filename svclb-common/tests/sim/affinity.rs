//! Clients that come back to their backends.

use std::net::SocketAddr;

use svclb_common::{
    config::SocketMode,
    service::{BackendId, FrontendKind, List, SERVICE_EXTERNAL_LOCAL, ServiceId},
    socket::{Socket, SocketVerdict, towards},
    wire::Transport,
};

use crate::world::{
    ACK, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, SECOND, UPLINK_IN, VIP, VIP2, World, at, everywhere,
    open, reply,
};

/// `service.spec.sessionAffinityConfig.clientIP.timeoutSeconds`.
const TIMEOUT: u32 = 120;

/// A service with as many backends, each client of which is to come back.
struct Shop<F: Net> {
    world: World<F>,
    transport: Transport,
    service: ServiceId,
    backends: Vec<BackendId>,
    port: std::cell::Cell<u16>,
}

impl<F: Net> Shop<F> {
    fn new(transport: Transport, backends: u16) -> Self {
        let mut world = World::<F>::new().with_seed(backends.into());
        let backends: Vec<_> =
            (0..backends).map(|n| world.add_backend(transport, at::<F>(1000 + n, 8080), false)).collect();
        let service = world.add_service(&backends);
        world.set_policy(service, 0, TIMEOUT);
        world.add_frontend(transport, at::<F>(VIP, 80), service);
        Self { world, transport, service, backends, port: 20000.into() }
    }

    /// The backend that a new connection of a pod gets.
    fn visit(&self, client: u16) -> SocketAddr {
        self.call(client, at::<F>(VIP, 80))
    }

    /// A connection from another port each time.
    fn call(&self, client: u16, front: SocketAddr) -> SocketAddr {
        self.port.set(self.port.get() + 1);
        self.world.send(POD_IN, &open(self.transport, at::<F>(client, self.port.get()), front)).dst
    }

    /// Whether twelve more connections all go to `backend`.
    fn keeps(&self, client: u16, backend: SocketAddr) -> bool {
        (0..12).all(|_| self.visit(client) == backend)
    }
}

everywhere! {
    fn a_client_comes_back_and_others_are_others<F>(transport) {
        let shop = Shop::<F>::new(transport, 10);
        let homes: Vec<_> = (0..40).map(|n| shop.visit(POD + n)).collect();
        for (client, home) in (POD..).zip(&homes) {
            assert!(shop.keeps(client, *home));
        }
        assert!(homes.iter().any(|home| *home != homes[0]), "clients are spread");
        assert_eq!(shop.world.affinities.len(), 40);
    }

    fn without_affinity_nobody_comes_back<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        let home = shop.visit(POD);
        assert!(shop.keeps(POD, home));
        shop.world.set_policy(shop.service, 0, 0);
        assert!(!shop.keeps(POD, home), "switched off");
        shop.world.set_policy(shop.service, 0, TIMEOUT);
        let home = shop.visit(POD);
        assert!(shop.keeps(POD, home), "and on again");
    }

    /// The time runs from the last new connection.
    fn the_time_begins_anew_with_each_connection<F>(transport) {
        let shop = Shop::<F>::new(transport, 10);
        let home = shop.visit(POD);
        for _ in 0..20 {
            shop.world.wait(u64::from(TIMEOUT) * SECOND - 1);
            assert_eq!(shop.visit(POD), home);
        }
        let moved = (0..20).any(|_| {
            shop.world.wait(u64::from(TIMEOUT) * SECOND);
            shop.visit(POD) != home
        });
        assert!(moved);
    }

    /// Neither the first connection counts nor what old ones send.
    fn packets_do_not_lengthen_it<F>(transport) {
        let shop = Shop::<F>::new(transport, 10);
        let (client, vip) = (at::<F>(POD, 40000), at::<F>(VIP, 80));
        let moved = (0..20).any(|_| {
            let home = shop.world.send(POD_IN, &open(transport, client, vip)).dst;
            shop.world.send(POD_OUT, &reply(transport, home, client));
            for _ in 0..3 {
                shop.world.wait(u64::from(TIMEOUT) * SECOND / 3);
                let on = crate::world::next(transport, client, vip).with(ACK);
                assert_eq!(shop.world.send(POD_IN, &on).dst, home);
            }
            let next = shop.visit(POD);
            shop.world.half_open.clear();
            shop.world.flows.clear();
            shop.world.affinities.clear();
            next != home
        });
        assert!(moved);
    }

    fn all_frontends_of_a_port_are_one<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        let (external, node_port) = (at::<F>(VIP2, 81), at::<F>(NODE, 30080));
        shop.world.add_frontend_of(FrontendKind::LoadBalancer, transport, external, shop.service);
        shop.world.add_node_port(transport, 30080, shop.service);
        let other = shop.world.add_service(&shop.backends);
        shop.world.set_policy(other, 0, TIMEOUT);
        shop.world.add_frontend(transport, at::<F>(VIP, 443), other);
        let mut elsewhere = false;
        for client in POD..POD + 10 {
            let home = shop.visit(client);
            assert_eq!(shop.call(client, external), home);
            assert_eq!(shop.call(client, node_port), home);
            elsewhere |= shop.call(client, at::<F>(VIP, 443)) != home;
        }
        assert!(elsewhere, "another port of the Service is another matter");
    }

    fn a_backend_that_leaves_and_returns<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        let home = shop.visit(POD);
        let at_home = shop.backends.iter().position(|id| home == at::<F>(1000 + *id as u16 - 1, 8080)).unwrap();
        let others: Vec<_> = shop.backends.iter().filter(|id| **id != shop.backends[at_home]).copied().collect();
        // It leaves, and nobody calls meanwhile.
        shop.world.set_backends(shop.service, &others);
        shop.world.set_backends(shop.service, &shop.backends);
        assert!(shop.keeps(POD, home));
        // It leaves, and the client gets another one that it keeps.
        shop.world.set_backends(shop.service, &others);
        let second = shop.visit(POD);
        assert_ne!(second, home);
        assert!(shop.keeps(POD, second));
        shop.world.set_backends(shop.service, &shop.backends);
        assert!(shop.keeps(POD, second));
    }

    /// Its cell may be another backend's by now.
    fn a_backend_whose_cell_was_given_up_is_not_come_back_to<F>(transport) {
        let shop = Shop::<F>::new(transport, 1);
        let home = shop.visit(POD);
        let mut shop = Shop { backends: Vec::new(), ..shop };
        shop.world.retire(1);
        let others: Vec<_> =
            (0..20).map(|n| shop.world.add_backend(transport, at::<F>(2000 + n, 1), false)).collect();
        shop.world.set_backends(shop.service, &[&others[..], &[1]].concat());
        assert!(!shop.keeps(POD, home));
    }

    /// Wherever it stands: at either end of a list that is searched whole, and in a long
    /// one near its old place.
    fn a_backend_is_found_where_it_has_moved_to<F>(transport) {
        for (before, from, after, to) in [
            (1, 0, 512, 511),
            (4, 3, 2, 0),
            (10, 9, 3, 0),
            (10, 9, 3, 2),
            (1000, 900, 100, 5),
            (1, 0, 300, 299),
            (512, 511, 512, 0),
            (300, 299, 3, 2),
            (512, 511, 600, 400),
            (2000, 1000, 2000, 1255),
            (2000, 1000, 2000, 744),
            (2000, 1999, 1990, 1989),
        ] {
            let mut shop = Shop::<F>::new(transport, 2);
            let list = |len: usize, place: usize| -> Vec<BackendId> {
                (0..len).map(|at| if at == place { 1 } else { 2 }).collect()
            };
            shop.world.set_backends(shop.service, &[1]);
            let home = shop.visit(POD);
            // Makes the client's last place known.
            shop.world.set_backends(shop.service, &list(before, from));
            shop.world.affinities.clear();
            while shop.visit(POD) != home {
                shop.world.affinities.clear();
                shop.world.half_open.clear();
            }
            shop.world.set_backends(shop.service, &list(after, to));
            assert!(shop.keeps(POD, home), "{before} {from} {after} {to}");
        }
    }

    /// Affinity does not lead out of the list.
    fn a_policy_goes_before_affinity<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        let local = shop.world.add_backend(transport, at::<F>(PEER, 8080), true);
        shop.world.add_node_port(transport, 30080, shop.service);
        shop.world.set_policy(shop.service, SERVICE_EXTERNAL_LOCAL, TIMEOUT);
        shop.world.set_list(shop.service, List::Local, &[local]);
        let client = |port| open(transport, at::<F>(OUTSIDE, port), at::<F>(NODE, 30080));
        let cluster = open(transport, at::<F>(OUTSIDE, 1), at::<F>(VIP, 80));
        let far = shop.world.send(UPLINK_IN, &cluster).dst;
        assert_ne!(far, at::<F>(PEER, 8080));
        for port in 2..9 {
            assert_eq!(shop.world.send(UPLINK_IN, &client(port)).dst, at::<F>(PEER, 8080));
        }
    }

    /// The tuple to the client's backend is another flow's: the port changes.
    fn a_clash_changes_the_port_and_not_the_backend<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        shop.world.add_frontend(transport, at::<F>(VIP2, 80), shop.service);
        let client = at::<F>(POD, 40000);
        let first = shop.world.send(POD_IN, &open(transport, client, at::<F>(VIP, 80)));
        assert_eq!(first.src, client);
        let second = shop.world.send(POD_IN, &open(transport, client, at::<F>(VIP2, 80)));
        assert_eq!(second.dst, first.dst);
        assert_eq!(second.src.ip(), client.ip());
        assert_ne!(second.src.port(), client.port());
    }

    /// By whatever address a process of the node calls, and whether it is a socket's call or, of a pod, a packet: a
    /// client's connections to a service port are one. The calls of a pod are left to its packets.
    fn sockets_and_packets_agree<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        shop.world.config.socket_mode = SocketMode::All as u32;
        let fronts = [at::<F>(VIP, 80), at::<F>(NODE, 30080), at::<F>(VIP2, 81), SocketAddr::new(F::LOOPBACK, 30080)];
        shop.world.add_node_port(transport, 30080, shop.service);
        shop.world.add_frontend_of(FrontendKind::ExternalIp, transport, fronts[2], shop.service);
        let call = |world: &World<F>, cookie, in_host, front: SocketAddr, unconnected| {
            let socket = Socket { cookie, in_host, transport, port: 0, unconnected, connected: false };
            towards(world, socket, F::addr(front.ip()), front.port().to_be())
        };
        let ways = if transport == Transport::Udp { &[true, false][..] } else { &[false] };
        let home = call(&shop.world, 1, true, fronts[0], ways[0]);
        assert!(matches!(home, SocketVerdict::To(..)));
        let pods_home = shop.visit(POD);
        let mut cookie = 1;
        for front in fronts {
            for unconnected in ways {
                cookie += 1;
                shop.world.wait(u64::from(TIMEOUT) * SECOND - 1);
                assert_eq!(call(&shop.world, cookie, true, front, *unconnected), home, "{front}");
                assert_eq!(call(&shop.world, cookie, false, front, *unconnected), SocketVerdict::Keep);
                if front != fronts[3] {
                    assert_eq!(shop.call(POD, front), pods_home, "{front}");
                }
            }
        }
        assert_eq!(shop.world.affinities.len(), 2, "the node and the pod");
    }

    /// Processes of the node are one client; a pod's socket has no address to be known by.
    fn sockets<F>(transport) {
        let mut shop = Shop::<F>::new(transport, 10);
        shop.world.config.socket_mode = SocketMode::All as u32;
        let vip = at::<F>(VIP, 80);
        let call = |world: &World<F>, cookie, in_host| {
            let unconnected = transport == Transport::Udp;
            let socket = Socket { cookie, in_host, transport, port: 0, unconnected, connected: false };
            towards(world, socket, F::addr(vip.ip()), vip.port().to_be())
        };
        let home = call(&shop.world, 1, true);
        assert!(matches!(home, SocketVerdict::To(..)));
        for cookie in 2..14 {
            shop.world.wait(u64::from(TIMEOUT) * SECOND - 1);
            assert_eq!(call(&shop.world, cookie, true), home);
            assert_eq!(call(&shop.world, cookie + 100, false), SocketVerdict::Keep);
        }
        let moved = (20..40).any(|cookie| {
            shop.world.wait(u64::from(TIMEOUT) * SECOND);
            call(&shop.world, cookie, true) != home
        });
        assert!(moved);
        assert_eq!(shop.world.affinities.len(), 1);
    }
}
