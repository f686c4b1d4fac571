//! What another proxy has begun, and netfilter translates: it is left alone.

use std::net::SocketAddr;

use svclb_common::{
    balance::Tables,
    config::SocketMode,
    key::{SocketKey, SocketWay},
    service::{NODE_HAS_INHERITED, NODE_TAKES_OVER},
    socket::{Socket, SocketPeer, SocketTables as _, SocketVerdict, inherited_cookie, towards},
    wire::Transport,
};

use crate::world::{
    ACK, FAR, FIN, Net, POD, POD_IN, RST, SYN, Sketch, VIP, Verdict, World, at, families, open, untouched,
};

/// The node's cell, which is no service's.
const ITS_OWN: u32 = 0;
const PORT: u16 = 40000;

fn say<F: Net>(world: &World<F>, flags: u8) -> (Sketch, crate::world::Sent) {
    let sketch = Sketch { flags, ..open(Transport::Tcp, at::<F>(POD, PORT), at::<F>(VIP, 80)) };
    let sent = world.send(POD_IN, &sketch);
    (sketch, sent)
}

/// A datagram socket of the host that names the frontend each time.
fn names<F: Net>(world: &World<F>, cookie: u64, in_host: bool, port: u16) -> SocketVerdict<F::Addr> {
    let transport = Transport::Udp;
    let socket =
        Socket { cookie, in_host, transport, port: port.to_be(), unconnected: true, connected: false };
    let vip: SocketAddr = at::<F>(VIP, 80);
    towards(world, socket, F::addr(vip.ip()), vip.port().to_be())
}

families! {
    fn what_is_midway_is_another_proxys_while_flows_are_taken_over<F>() {
        for flags in [ACK, FIN | ACK, RST, SYN | ACK] {
            let mut world = World::<F>::new();
            world.serve(Transport::Tcp, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
            world.set_policy(ITS_OWN, NODE_TAKES_OVER, 0);
            let (sketch, sent) = say(&world, flags);
            assert_eq!(sent, untouched(Verdict::NotOurs, &sketch), "{flags:?}");
            let (_, begun) = say(&world, SYN);
            assert_eq!(begun.dst, at::<F>(FAR, 8080), "what begins is svclb's");
            let (_, next) = say(&world, ACK);
            assert_eq!(next.dst, at::<F>(FAR, 8080), "and goes on");
            world.set_policy(ITS_OWN, 0, 0);
        }
    }

    fn afterwards_what_is_midway_is_svclbs<F>() {
        let mut world = World::<F>::new();
        world.serve(Transport::Tcp, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
        let (_, sent) = say(&world, ACK);
        assert_eq!(sent.dst, at::<F>(FAR, 8080));
    }

    fn sockets_of_flows_that_were_taken_over_are_left_alone<F>() {
        let mut world = World::<F>::new().with_sockets(SocketMode::All);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Udp, vip, &[backend]);
        let translated = SocketVerdict::To(F::addr(backend.ip()), backend.port().to_be());
        let (addr, generation) = (F::addr(vip.ip()), Tables::backend(&world, 1).unwrap().generation);
        for in_host in [true, false] {
            let cookie = inherited_cookie(in_host, PORT.to_be());
            let key = SocketKey::new(cookie, addr, vip.port().to_be(), Transport::Udp, SocketWay::Forward);
            let peer = SocketPeer { addr, port: vip.port().to_be(), pad: 0, backend: 1, generation };
            world.remember(key, &peer);
            assert_eq!(names(&world, 1 + u64::from(in_host), in_host, PORT), translated, "nobody is to ask");
        }
        world.set_policy(ITS_OWN, NODE_HAS_INHERITED, 0);
        for in_host in [true, false] {
            assert_eq!(names(&world, 3, in_host, PORT), SocketVerdict::Keep);
            assert_eq!(names(&world, 4 + u64::from(in_host), in_host, PORT + 1), translated, "another port");
        }
        World::retire(&mut world, 1);
        let gone = names(&world, 7, true, PORT);
        assert!(!matches!(gone, SocketVerdict::Keep), "its backend is gone: {gone:?}");
    }
}
