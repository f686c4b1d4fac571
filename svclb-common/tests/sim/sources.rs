//! Which address a backend sees: kube-proxy's table, and where svclb keeps more than it.

use std::net::SocketAddr;

use svclb_common::{
    balance::Place,
    config::MASQUERADE_COMPAT,
    flow::Action,
    service::{
        FrontendKind, LOCAL_ADDRESS, LOCAL_NODE_PORTS, List, SERVICE_EXTERNAL_LOCAL, SERVICE_HAS_ENDPOINTS,
        SERVICE_INTERNAL_LOCAL,
    },
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    FAR, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, UPLINK, UPLINK_IN, UPLINK_OUT, VIP, VIP2, Verdict,
    World, at, everywhere, families, open, reply, translated,
};

/// Another uplink of the node.
const UPLINK2_IN: Place = Place { ifindex: UPLINK + 1, ..UPLINK_IN };
const UPLINK2_OUT: Place = Place { ifindex: UPLINK + 1, ..UPLINK_OUT };

/// Another address of the node, such as that of a bridge.
const BRIDGE: u16 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    LocalPod,
    Host,
    Other,
}

impl Client {
    const EACH: [Self; 3] = [Self::LocalPod, Self::Host, Self::Other];

    fn stands(self) -> (u16, Place) {
        match self {
            Self::LocalPod => (POD, POD_IN),
            Self::Host => (NODE, UPLINK_OUT),
            Self::Other => (OUTSIDE, UPLINK_IN),
        }
    }
}

/// What a backend gets of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Client,
    Node,
    Nothing,
}

struct Shop<F: Net> {
    world: World<F>,
    transport: Transport,
}

impl<F: Net> Shop<F> {
    /// A Service whose one backend is on this node or not, behind all kinds of addresses.
    fn new(transport: Transport, is_near: bool, flags: u32) -> Self {
        let mut world = World::new();
        // Addresses up to 63 are pods.
        world.set_cluster_cidr(F::host(0), if F::AF == 2 { 26 } else { 122 });
        world.add_local(F::host(BRIDGE), LOCAL_ADDRESS | LOCAL_NODE_PORTS);
        let end = at::<F>(if is_near { PEER } else { FAR }, 8080);
        let backend = world.add_backend(transport, end, is_near);
        let service = world.add_service(&[backend]);
        let local = [backend];
        world.set_list(service, List::Local, if is_near { &local } else { &[] });
        world.set_policy(service, flags | SERVICE_HAS_ENDPOINTS, 0);
        world.add_frontend(transport, at::<F>(VIP, 80), service);
        world.add_frontend_of(FrontendKind::ExternalIp, transport, at::<F>(VIP2, 80), service);
        world.add_node_port(transport, 30080, service);
        Self { world, transport }
    }

    fn seen(&self, src: u16, place: Place, front: SocketAddr) -> Seen {
        let client = at::<F>(src, 40000);
        let sent = self.world.send(place, &open(self.transport, client, front));
        self.world.half_open.clear();
        match sent.verdict {
            Verdict::Translated(..) if sent.src == client => Seen::Client,
            Verdict::Translated(..) => {
                assert_eq!(sent.src.ip(), F::host(NODE));
                Seen::Node
            }
            Verdict::Dropped(DropReason::NoLocalBackend) => Seen::Nothing,
            verdict => panic!("{verdict:?}"),
        }
    }
}

/// The table of the specification, `[LOCAL-POD, HOST, OTHER]`: the node's own packets have its
/// address whether it is kept or not, so that column says `Client`.
fn expected([is_internal, is_local, is_near, compat]: [bool; 4]) -> [Seen; 3] {
    use Seen::{Client, Node, Nothing};
    match (is_internal, is_local) {
        // Without it nothing would bring the answer back here.
        (_, false) if !is_near => [if compat && !is_internal { Node } else { Client }, Client, Node],
        (true, true) if !is_near => [Nothing, Nothing, Nothing],
        (false, true) if !is_near => [Client, Client, Nothing],
        (true, _) => [Client, Client, if compat { Node } else { Client }],
        (false, false) => [if compat { Node } else { Client }, Client, if compat { Node } else { Client }],
        (false, true) => [Client, Client, Client],
    }
}

everywhere! {
    fn every_cell_of_the_table<F>(transport) {
        for bits in 0..16 {
            let [is_internal, is_local, is_near, compat] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let flags = if is_local { SERVICE_INTERNAL_LOCAL | SERVICE_EXTERNAL_LOCAL } else { 0 };
            let mut shop = Shop::<F>::new(transport, is_near, flags);
            if compat {
                shop.world.config.flags |= MASQUERADE_COMPAT;
            }
            let fronts = if is_internal {
                vec![at::<F>(VIP, 80)]
            } else {
                vec![at::<F>(VIP2, 80), at::<F>(NODE, 30080)]
            };
            let right = expected([is_internal, is_local, is_near, compat]);
            for (front, (client, right)) in
                fronts.into_iter().flat_map(|front| Client::EACH.into_iter().zip(right).map(move |row| (front, row)))
            {
                let (src, place) = client.stands();
                let context = (is_internal, is_local, is_near, compat, client, front);
                assert_eq!(shop.seen(src, place, front), right, "{context:?}");
            }
        }
    }

    /// Nobody is told apart: a ClusterIP masquerades nobody, but where the answer would be lost.
    fn without_a_detector_cluster_ips_keep_their_clients<F>(transport) {
        let mut shop = Shop::<F>::new(transport, true, 0);
        shop.world.config.flags |= MASQUERADE_COMPAT;
        shop.world.set_cluster_cidr(F::host(0), 0);
        assert_eq!(shop.seen(OUTSIDE, UPLINK_IN, at::<F>(VIP, 80)), Seen::Client);
        assert_eq!(shop.seen(POD, POD_IN, at::<F>(VIP, 80)), Seen::Client);
        assert_eq!(shop.seen(POD, POD_IN, at::<F>(VIP2, 80)), Seen::Node, "external addresses do");
    }

    fn pods_are_told_by_their_device<F>(transport) {
        let mut shop = Shop::<F>::new(transport, true, 0);
        shop.world.config.flags |= MASQUERADE_COMPAT;
        shop.world.set_cluster_cidr(F::host(0), if F::AF == 2 { 32 } else { 128 });
        assert_eq!(shop.seen(POD, POD_IN, at::<F>(VIP, 80)), Seen::Node, "by a device that does not count");
        shop.world.set_pods(POD_IN.ifindex, F::host(0), 0);
        assert_eq!(shop.seen(POD, POD_IN, at::<F>(VIP, 80)), Seen::Client);
        assert_eq!(shop.seen(OUTSIDE, POD_IN, at::<F>(VIP, 80)), Seen::Client, "whatever its address");
        assert_eq!(shop.seen(POD, UPLINK_IN, at::<F>(VIP, 80)), Seen::Node, "by another device");
    }

    /// The answer to a client may leave by another uplink than its request came by.
    fn an_answer_is_translated_wherever_it_leaves<F>(transport) {
        let shop = Shop::<F>::new(transport, true, 0);
        let (client, vip, end) = (at::<F>(OUTSIDE, 40000), at::<F>(VIP2, 80), at::<F>(PEER, 8080));
        for (there, back) in [(UPLINK_IN, UPLINK2_OUT), (UPLINK2_IN, UPLINK_OUT), (UPLINK2_IN, UPLINK2_OUT)] {
            let sent = shop.world.send(there, &open(transport, client, vip));
            assert_eq!(sent, translated(Action::Pass, 0, client, end));
            let answer = shop.world.send(back, &reply(transport, end, client));
            assert_eq!(answer, translated(Action::Pass, 0, vip, client));
            shop.world.half_open.clear();
            shop.world.flows.clear();
        }
        let far = Shop::<F>::new(transport, false, 0);
        let sent = far.world.send(UPLINK_IN, &open(transport, client, vip));
        let answer = far.world.send(UPLINK2_IN, &reply(transport, sent.dst, sent.src));
        assert_eq!(answer, translated(Action::Forward, 0, vip, client), "translated back by the other one");
    }

    /// A client's address is kept only if the way back to it leads by a device of ours.
    fn a_client_that_no_program_leads_back_to_sees_the_node<F>(transport) {
        let mut shop = Shop::<F>::new(transport, true, 0);
        shop.world.cut(F::host(OUTSIDE));
        assert_eq!(shop.seen(OUTSIDE, UPLINK_IN, at::<F>(VIP2, 80)), Seen::Node);
        assert_eq!(shop.seen(OUTSIDE, UPLINK_IN, at::<F>(VIP, 80)), Seen::Node);
        assert_eq!(shop.seen(OUTSIDE + 1, UPLINK_IN, at::<F>(VIP2, 80)), Seen::Client);
        let mut shop = Shop::<F>::new(transport, true, SERVICE_EXTERNAL_LOCAL);
        shop.world.cut(F::host(OUTSIDE));
        assert_eq!(shop.seen(OUTSIDE, UPLINK_IN, at::<F>(VIP2, 80)), Seen::Client, "the policy promises it");
    }
}

families! {
    /// A node port of a bridge's address: towards another node it would lead nobody back.
    fn the_node_s_other_addresses_stay_at_home<F>() {
        for (is_near, front, right) in [
            (true, at::<F>(BRIDGE, 30080), Seen::Client),
            (false, at::<F>(BRIDGE, 30080), Seen::Node),
            (false, at::<F>(VIP2, 80), Seen::Node),
            (false, at::<F>(VIP, 80), Seen::Client),
        ] {
            let shop = Shop::<F>::new(Transport::Tcp, is_near, 0);
            assert_eq!(shop.seen(BRIDGE, UPLINK_OUT, front), right, "{is_near} {front}");
        }
    }

    /// A pod that reaches itself by any address is called by that address.
    fn a_hairpin_is_called_by_the_vip<F>() {
        for compat in [0, MASQUERADE_COMPAT] {
            let mut shop = Shop::<F>::new(Transport::Tcp, true, 0);
            shop.world.config.flags |= compat;
            for front in [at::<F>(VIP, 80), at::<F>(VIP2, 80), at::<F>(NODE, 30080)] {
                let client = at::<F>(PEER, 40000);
                let sent = shop.world.send(POD_IN, &open(Transport::Tcp, client, front));
                let vip = SocketAddr::new(front.ip(), 40000);
                assert_eq!(sent, translated(Action::Reflect, 0, vip, at::<F>(PEER, 8080)));
                let back = shop.world.send(POD_IN, &reply(Transport::Tcp, at::<F>(PEER, 8080), vip));
                assert_eq!(back, translated(Action::Reflect, 0, front, client));
            }
        }
    }

    /// Direct traffic is nobody's business.
    fn pods_that_call_pods_are_left_alone<F>() {
        let mut shop = Shop::<F>::new(Transport::Tcp, true, 0);
        shop.world.config.flags |= MASQUERADE_COMPAT;
        let packet = open(Transport::Tcp, at::<F>(POD, 40000), at::<F>(PEER, 8080));
        assert_eq!(shop.world.send(POD_IN, &packet).verdict, Verdict::NotOurs);
        assert_eq!(shop.world.send(POD_OUT, &packet).verdict, Verdict::NotOurs);
    }
}
