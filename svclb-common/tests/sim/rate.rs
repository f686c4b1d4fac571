//! How many new flows a service takes in a second.

use svclb_common::{
    config::SocketMode,
    service::{Policy, ServiceId},
    socket::{Socket, SocketVerdict, errno, towards},
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    Net, POD, POD_IN, POD_OUT, SECOND, VIP, VIP2, Verdict, World, at, everywhere, next, open, reply,
};

/// A service that takes so many, and another one with the same backend that takes any number.
fn shop<F: Net>(transport: Transport, rate: u32) -> (World<F>, ServiceId) {
    let mut world = World::<F>::new();
    let service = world.serve(transport, at::<F>(VIP, 80), &[at::<F>(1000, 8080)]);
    world.serve(transport, at::<F>(VIP2, 80), &[at::<F>(1001, 8080)]);
    world.set_policy(service, Policy::rate_flags(rate), 0);
    (world, service)
}

/// Whether a new flow of a client's port is taken.
fn visit<F: Net>(world: &World<F>, transport: Transport, port: u16, vip: u16) -> bool {
    match world.send(POD_IN, &open(transport, at::<F>(POD, port), at::<F>(vip, 80))).verdict {
        Verdict::Dropped(reason) => {
            assert_eq!(reason, DropReason::RateLimited);
            false
        }
        _ => true,
    }
}

everywhere! {
    fn no_more_than_the_rate_and_nobody_else_is_turned_away<F>(transport) {
        let (world, _) = shop::<F>(transport, 5);
        let crowd = |from| (from..from + 20).filter(|port| visit(&world, transport, *port, VIP)).count();
        assert_eq!(crowd(20000), 5);
        assert!((20000..20020).all(|port| visit(&world, transport, port, VIP2)), "another service");
        world.wait(SECOND / 5);
        assert_eq!(crowd(21000), 1);
        world.wait(10 * SECOND);
        assert_eq!(crowd(22000), 5);
    }

    /// Packets of flows that are there ask for no turn: neither first ones that come again nor those behind.
    fn flows_that_are_there_go_on<F>(transport) {
        let (world, _) = shop::<F>(transport, 1);
        let (client, vip, end) = (at::<F>(POD, 20000), at::<F>(VIP, 80), at::<F>(1000, 8080));
        assert!(visit(&world, transport, 20000, VIP));
        for _ in 0..3 {
            assert!(!visit(&world, transport, 20001, VIP));
            assert!(visit(&world, transport, 20000, VIP), "a first packet that comes again");
            world.send(POD_OUT, &reply(transport, end, client));
            assert_eq!(world.send(POD_IN, &next(transport, client, vip)).dst, end);
        }
    }

    fn a_cap_that_goes_is_gone_at_once<F>(transport) {
        let (mut world, service) = shop::<F>(transport, 1);
        assert!(visit(&world, transport, 20000, VIP) && !visit(&world, transport, 20001, VIP));
        world.set_policy(service, 0, 0);
        assert!((20001..20100).all(|port| visit(&world, transport, port, VIP)));
    }

    /// A call is refused at once; datagrams of a socket that has a backend go on.
    fn calls_are_counted_like_first_packets<F>(transport) {
        let (mut world, _) = shop::<F>(transport, 2);
        world.config.socket_mode = SocketMode::All as u32;
        let unconnected = transport == Transport::Udp;
        let call = |cookie, vip| {
            let socket = Socket { cookie, in_host: true, transport, unconnected, connected: false };
            let to = at::<F>(vip, 80);
            towards(&world, socket, F::addr(to.ip()), to.port().to_be())
        };
        let is_to = |verdict| matches!(verdict, SocketVerdict::To(..));
        assert!(is_to(call(1, VIP)) && is_to(call(2, VIP)));
        assert_eq!(call(3, VIP), SocketVerdict::Fail(DropReason::RateLimited));
        assert_eq!(is_to(call(1, VIP)), unconnected);
        assert!(is_to(call(3, VIP2)));
        assert_eq!(errno(DropReason::RateLimited), 111);
        world.wait(SECOND);
        assert!(is_to(call(3, VIP)));
    }
}
