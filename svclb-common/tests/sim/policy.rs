//! Which list a client selects from, and who is admitted.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    balance::Place,
    config::{MASQUERADE_ALL, SocketMode},
    family::{V4, V6},
    flow::Action,
    service::{
        BackendId, FrontendKind, LOCAL_ADDRESS, List, SERVICE_ADMITS_HOST, SERVICE_EXTERNAL_LOCAL,
        SERVICE_HAS_ENDPOINTS, SERVICE_INTERNAL_LOCAL, SERVICE_RESTRICTED, ServiceId,
    },
    socket::{Socket, SocketVerdict, errno, towards},
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    FAR, FAR2, LO_OUT, NODE, Net, OUTSIDE, PEER, POD, POD_IN, UPLINK_IN, UPLINK_OUT, VIP, Verdict, World, at,
    everywhere, families, open, reply, translated, untouched,
};

const EACH_KIND: [FrontendKind; 4] =
    [FrontendKind::ClusterIp, FrontendKind::NodePort, FrontendKind::ExternalIp, FrontendKind::LoadBalancer];

/// Where a client stands: its address and its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Pod,
    Host,
    Other,
    /// Behind a pod's device, with another address than a pod's.
    Stranger,
}

const EACH_CLASS: [Class; 4] = [Class::Pod, Class::Host, Class::Other, Class::Stranger];

impl Class {
    fn stands(self) -> (u16, Place) {
        match self {
            Self::Pod => (POD, POD_IN),
            Self::Host => (NODE, UPLINK_OUT),
            Self::Other => (OUTSIDE, UPLINK_IN),
            Self::Stranger => (0x4000, POD_IN),
        }
    }
}

/// A service with one frontend of each kind, and where they are.
struct Shop<F: Net> {
    world: World<F>,
    service: ServiceId,
    cluster: BackendId,
    local: BackendId,
}

/// Who serves the cluster list alone, and who the local list.
const CLUSTER: u16 = FAR;
const LOCAL: u16 = PEER;

impl<F: Net> Shop<F> {
    fn new(transport: Transport) -> Self {
        let mut world = World::<F>::new();
        world.set_cluster_cidr(F::host(0), if F::AF == 2 { 20 } else { 116 });
        let cluster = world.add_backend(transport, at::<F>(CLUSTER, 8080), false);
        let local = world.add_backend(transport, at::<F>(LOCAL, 8080), true);
        let service = world.add_service(&[]);
        for kind in EACH_KIND {
            match kind {
                FrontendKind::NodePort => world.add_node_port(transport, 30080, service),
                kind => world.add_frontend_of(kind, transport, front::<F>(kind), service),
            }
        }
        Self { world, service, cluster, local }
    }

    /// Where a new flow goes: to a backend, or nowhere.
    fn sends(&self, transport: Transport, class: Class, kind: FrontendKind) -> Result<u16, Verdict> {
        let (host, place) = class.stands();
        let packet = open(transport, at::<F>(host, 40000), front::<F>(kind));
        let sent = self.world.send(place, &packet);
        self.world.flows.clear();
        self.world.half_open.clear();
        match sent.verdict {
            Verdict::Translated(..) => {
                Ok([CLUSTER, LOCAL].into_iter().find(|n| sent.dst == at::<F>(*n, 8080)).unwrap())
            }
            verdict => Err(verdict),
        }
    }
}

fn front<F: Net>(kind: FrontendKind) -> SocketAddr {
    match kind {
        FrontendKind::NodePort => at::<F>(NODE, 30080),
        kind => at::<F>(VIP + kind as u16, 80),
    }
}

/// The table of kube-proxy's path decision, by flags, class and kind.
fn expected(flags: u32, class: Class, kind: FrontendKind) -> List {
    let is_outside = matches!(class, Class::Other | Class::Stranger);
    match kind {
        FrontendKind::ClusterIp if flags & SERVICE_INTERNAL_LOCAL != 0 => List::Local,
        FrontendKind::NodePort | FrontendKind::ExternalIp | FrontendKind::LoadBalancer
            if flags & SERVICE_EXTERNAL_LOCAL != 0 && is_outside =>
        {
            List::Local
        }
        _ => List::Cluster,
    }
}

everywhere! {
    /// Every policy, client, frontend, and every emptiness of the lists.
    fn the_policy_names_the_list<F>(transport) {
        for flags in 0..8 {
            for (has_cluster, has_local) in [(true, true), (true, false), (false, true), (false, false)] {
                let mut shop = Shop::<F>::new(transport);
                let (cluster, local) = ([shop.cluster], [shop.local]);
                shop.world.set_policy(shop.service, flags, 0);
                shop.world.set_list(shop.service, List::Cluster, if has_cluster { &cluster } else { &[] });
                shop.world.set_list(shop.service, List::Local, if has_local { &local } else { &[] });
                for (class, kind) in EACH_CLASS.into_iter().flat_map(|class| EACH_KIND.map(|kind| (class, kind))) {
                    let nobody = Err(Verdict::Refused(DropReason::NoBackend));
                    let right = match expected(flags, class, kind) {
                        List::Local if has_local => Ok(LOCAL),
                        List::Local if flags & SERVICE_HAS_ENDPOINTS != 0 => {
                            Err(Verdict::Dropped(DropReason::NoLocalBackend))
                        }
                        List::Cluster if has_cluster => Ok(CLUSTER),
                        _ => nobody,
                    };
                    let context = (flags, has_cluster, has_local, class, kind);
                    assert_eq!(shop.sends(transport, class, kind), right, "{context:?}");
                }
            }
        }
    }

    fn without_a_cluster_cidr_whoever_is_behind_a_pods_device_is_a_pod<F>(transport) {
        let mut shop = Shop::<F>::new(transport);
        shop.world.set_cluster_cidr(F::host(0), 0);
        shop.world.set_policy(shop.service, SERVICE_EXTERNAL_LOCAL, 0);
        shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
        shop.world.set_list(shop.service, List::Local, &[shop.local]);
        assert_eq!(shop.sends(transport, Class::Stranger, FrontendKind::NodePort), Ok(CLUSTER));
        assert_eq!(shop.sends(transport, Class::Other, FrontendKind::NodePort), Ok(LOCAL));
    }

    /// Under policy `Local` the client's address reaches the backend.
    fn the_local_list_keeps_the_source<F>(transport) {
        let mut shop = Shop::<F>::new(transport);
        shop.world.set_policy(shop.service, SERVICE_EXTERNAL_LOCAL, 0);
        shop.world.set_list(shop.service, List::Local, &[shop.local]);
        let client = at::<F>(OUTSIDE, 50000);
        let packet = open(transport, client, front::<F>(FrontendKind::NodePort));
        let there = translated(Action::Pass, 0, client, at::<F>(LOCAL, 8080));
        assert_eq!(shop.world.send(UPLINK_IN, &packet), there);
    }

    fn source_ranges_are_for_load_balancers<F>(transport) {
        let mut shop = Shop::<F>::new(transport);
        shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
        shop.world.admit(shop.service, F::host(OUTSIDE), if F::AF == 2 { 32 } else { 128 });
        shop.world.admit(shop.service + 1, F::host(0), 0);
        for flags in [0, SERVICE_RESTRICTED] {
            shop.world.set_policy(shop.service, flags, 0);
            for (class, kind) in EACH_CLASS.into_iter().flat_map(|class| EACH_KIND.map(|kind| (class, kind))) {
                let is_admitted = flags == 0 || kind != FrontendKind::LoadBalancer || class == Class::Other;
                let right =
                    if is_admitted { Ok(CLUSTER) } else { Err(Verdict::Dropped(DropReason::SourceRange)) };
                assert_eq!(shop.sends(transport, class, kind), right, "{flags} {class:?} {kind:?}");
            }
        }
    }

    fn a_range_that_goes_cuts_no_flow<F>(transport) {
        let mut shop = Shop::<F>::new(transport);
        shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
        let (client, vip) = (at::<F>(POD, 40000), front::<F>(FrontendKind::LoadBalancer));
        let there = translated(Action::Pass, 0, client, at::<F>(CLUSTER, 8080));
        assert_eq!(shop.world.send(POD_IN, &open(transport, client, vip)), there);
        shop.world.set_policy(shop.service, SERVICE_RESTRICTED, 0);
        assert_eq!(shop.world.send(POD_IN, &open(transport, client, vip)), there);
        // Also if the table has made room with one of its entries.
        shop.world.half_open.retain(|entry| entry.recipe.is_original());
        assert_eq!(shop.world.half_open.len(), 1);
        let again = crate::world::next(transport, client, vip);
        assert_eq!(shop.world.send(POD_IN, &again), there);
        let other = open(transport, at::<F>(POD, 40001), vip);
        let range = Verdict::Dropped(DropReason::SourceRange);
        assert_eq!(shop.world.send(POD_IN, &other), untouched(range, &other));
    }

    fn node_ports_answer_where_they_may<F>(transport) {
        let loopback = SocketAddr::new(F::LOOPBACK, 30080);
        for is_on in [true, false] {
            let mut shop = Shop::<F>::new(transport);
            shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
            shop.world.add_local(F::host(NODE + 1), LOCAL_ADDRESS);
            if !is_on {
                shop.world.config.flags = 0;
            }
            let quiet = at::<F>(NODE + 1, 30080);
            for (place, src) in [(POD_IN, POD), (UPLINK_IN, OUTSIDE), (LO_OUT, NODE)] {
                let packet = open(transport, at::<F>(src, 40000), quiet);
                assert_eq!(shop.world.send(place, &packet), untouched(Verdict::NotOurs, &packet));
            }
            let packet = open(transport, SocketAddr::new(F::LOOPBACK, 40000), loopback);
            let sent = shop.world.send(LO_OUT, &packet);
            assert_eq!(sent.verdict != Verdict::NotOurs, is_on);
            shop.world.config.socket_mode = SocketMode::All as u32;
            let verdict = call(&shop.world, transport, true, loopback);
            assert_eq!(verdict != SocketVerdict::Keep, is_on);
            assert_eq!(call(&shop.world, transport, true, quiet), SocketVerdict::Keep);
        }
    }

    fn a_masqueraded_flow_comes_from_the_node<F>(transport) {
        for (backend, is_local) in [(FAR, false), (PEER, true)] {
            for (host, place) in [(POD, POD_IN), (OUTSIDE, UPLINK_IN)] {
                let mut world = World::<F>::new();
                world.config.flags |= MASQUERADE_ALL;
                let (client, vip, end) = (at::<F>(host, 40000), at::<F>(VIP, 80), at::<F>(backend, 8080));
                let id = world.add_backend(transport, end, is_local);
                let service = world.add_service(&[id]);
                world.add_frontend(transport, vip, service);
                let sent = world.send(place, &open(transport, client, vip));
                assert_eq!(sent, translated(Action::Forward, 0, sent.src, end));
                assert_eq!(sent.src.ip(), F::host(NODE));
                let back = world.send(if is_local { POD_IN } else { UPLINK_IN }, &reply(transport, end, sent.src));
                assert_eq!(back, translated(Action::Forward, 0, vip, client));
                let external = at::<F>(VIP + 1, 80);
                world.add_frontend_of(FrontendKind::ExternalIp, transport, external, service);
                let sent = world.send(place, &open(transport, client, external));
                assert_eq!(sent.src == client, host == POD || is_local, "others' sources are as ever");
            }
        }
    }

    /// What a socket call is told of each frontend, under each policy.
    fn sockets_ask_the_policy<F>(transport) {
        for flags in 0..32 {
            for (class, in_host) in [(Class::Host, true), (Class::Pod, false)] {
                for (has_local, kind) in [true, false].into_iter().flat_map(|has| EACH_KIND.map(|kind| (has, kind))) {
                    let mut shop = Shop::<F>::new(transport);
                    shop.world.config.socket_mode = SocketMode::All as u32;
                    shop.world.set_policy(shop.service, flags, 0);
                    shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
                    let local = [shop.local];
                    shop.world.set_list(shop.service, List::Local, if has_local { &local } else { &[] });
                    let is_restricted = kind == FrontendKind::LoadBalancer && flags & SERVICE_RESTRICTED != 0;
                    let to = |n| SocketVerdict::To(F::addr(F::host(n)), 8080_u16.to_be());
                    let right = if is_restricted && !in_host {
                        SocketVerdict::Keep
                    } else if is_restricted && flags & SERVICE_ADMITS_HOST == 0 {
                        SocketVerdict::Fail(DropReason::SourceRange)
                    } else {
                        match expected(flags, class, kind) {
                            List::Local if has_local => to(LOCAL),
                            List::Local if flags & SERVICE_HAS_ENDPOINTS != 0 => {
                                SocketVerdict::Fail(DropReason::NoLocalBackend)
                            }
                            List::Local => SocketVerdict::Fail(DropReason::NoBackend),
                            _ => to(CLUSTER),
                        }
                    };
                    let verdict = call(&shop.world, transport, in_host, front::<F>(kind));
                    assert_eq!(verdict, right, "{flags} {class:?} {has_local} {kind:?}");
                }
            }
        }
    }

    fn pods_sockets_are_left_alone_where_flows_are_masqueraded<F>(transport) {
        let mut shop = Shop::<F>::new(transport);
        shop.world.config.socket_mode = SocketMode::All as u32;
        shop.world.config.flags |= MASQUERADE_ALL;
        shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
        for (in_host, kind) in [true, false].into_iter().flat_map(|host| EACH_KIND.map(|kind| (host, kind))) {
            let is_kept = call(&shop.world, transport, in_host, front::<F>(kind)) == SocketVerdict::Keep;
            assert_eq!(is_kept, !in_host && kind == FrontendKind::ClusterIp);
        }
    }
}

fn call<F: Net>(
    world: &World<F>,
    transport: Transport,
    in_host: bool,
    end: SocketAddr,
) -> SocketVerdict<F::Addr> {
    // A pod's datagram socket is not translated where it is connected.
    let unconnected = !in_host && transport == Transport::Udp;
    let socket = Socket { cookie: 7, in_host, transport, port: 0, unconnected, connected: false };
    towards(world, socket, F::addr(end.ip()), end.port().to_be())
}

#[test]
fn a_call_fails_as_its_packets_would() {
    const EPERM: i32 = 1;
    const ECONNREFUSED: i32 = 111;
    const EHOSTUNREACH: i32 = 113;
    for (reason, right) in [
        (DropReason::NoBackend, ECONNREFUSED),
        (DropReason::UnknownPort, ECONNREFUSED),
        (DropReason::SourceRange, EPERM),
        (DropReason::NoLocalBackend, EHOSTUNREACH),
        (DropReason::UnallocatedVip, EHOSTUNREACH),
        (DropReason::BrokenTables, EHOSTUNREACH),
    ] {
        assert_eq!(errno(reason), right, "{reason:?}");
    }
}

/// Whatever the policy, the lists and the affinity: a flow's backend is one of the list.
fn a_backend_is_of_its_list<F: Net>(flags: u32, affinity: u32, seed: u64, changes: &[(u8, u8, u16)]) {
    let transport = Transport::Udp;
    let mut shop = Shop::<F>::new(transport);
    shop.world = shop.world.with_seed(seed);
    shop.world.set_policy(shop.service, flags, affinity);
    let hosts: Vec<u16> = (0..8).map(|n| FAR2 + n).collect();
    let ids: Vec<_> =
        hosts.iter().map(|n| shop.world.add_backend(transport, at::<F>(*n, 8080), true)).collect();
    for (cluster, local, port) in changes {
        let members = |bits: u8| (0..8).filter(move |n| bits & 1 << n != 0);
        for (list, bits) in [(List::Cluster, *cluster), (List::Local, *local)] {
            let backends: Vec<_> = members(bits).map(|n| ids[n]).collect();
            shop.world.set_list(shop.service, list, &backends);
        }
        for (class, kind) in EACH_CLASS.into_iter().flat_map(|class| EACH_KIND.map(|kind| (class, kind))) {
            let (host, place) = class.stands();
            let packet = open(transport, at::<F>(host, 1 + port), front::<F>(kind));
            let sent = shop.world.send(place, &packet);
            shop.world.half_open.clear();
            let bits = if expected(flags, class, kind) == List::Local { *local } else { *cluster };
            let found = members(bits).any(|n| sent.dst == at::<F>(hosts[n], 8080));
            assert_eq!(found, matches!(sent.verdict, Verdict::Translated(..)));
            assert_eq!(found, bits != 0);
        }
    }
}

proptest! {
    #[test]
    fn a_backend_is_of_its_list_v4(
        flags in 0_u32..8, affinity in 0_u32..2, seed: u64, changes in vec((any::<u8>(), any::<u8>(), 0_u16..9), 1..5),
    ) {
        a_backend_is_of_its_list::<V4>(flags, affinity, seed, &changes);
    }

    #[test]
    fn a_backend_is_of_its_list_v6(
        flags in 0_u32..8, affinity in 0_u32..2, seed: u64, changes in vec((any::<u8>(), any::<u8>(), 0_u16..9), 1..5),
    ) {
        a_backend_is_of_its_list::<V6>(flags, affinity, seed, &changes);
    }
}

families! {
    /// The node's own address is not asked for where a node port is found by its port alone.
    fn a_node_port_is_external<F>() {
        let mut shop = Shop::<F>::new(Transport::Tcp);
        shop.world.set_policy(shop.service, SERVICE_INTERNAL_LOCAL, 0);
        shop.world.set_list(shop.service, List::Cluster, &[shop.cluster]);
        assert_eq!(shop.sends(Transport::Tcp, Class::Pod, FrontendKind::NodePort), Ok(CLUSTER));
    }
}
