//! What a packet costs: lookups in hashes and writes to them, path by path, against `bpf-fixtures/lookups`.

use std::{collections::BTreeMap, net::SocketAddr};

use svclb_common::{
    config::{DSR_TCP, SocketMode},
    family::{V4, V6},
    wire::Transport,
};

use crate::world::{
    FAR, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, Place, RST, Sent, Sketch, UPLINK_IN, UPLINK_OUT,
    VIP, World, at, next, open, reply,
};

/// Lookups and writes by path.
type Costs = BTreeMap<String, (u32, u32)>;

/// The lines `<path>: <lookups> <writes>` of the fixture.
fn expected() -> Costs {
    let text = include_str!("../../../bpf-fixtures/lookups");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (path, counts) = line.rsplit_once(": ").unwrap();
            let (lookups, writes) = counts.split_once(' ').unwrap();
            (path.to_owned(), (lookups.parse().unwrap(), writes.parse().unwrap()))
        })
        .collect()
}

const TCP: Transport = Transport::Tcp;

/// A node with a Service on other nodes and one of its own. Its own processes are translated at their sockets, as by
/// default.
fn world<F: Net>(flags: u32) -> World<F> {
    let mut world = World::<F>::new().with_flags(flags).with_sockets(SocketMode::Host);
    let far = world.serve(TCP, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
    world.add_node_port(TCP, 30080, far);
    let here = world.add_backend(TCP, at::<F>(PEER, 8080), true);
    let here = world.add_service(&[here]);
    world.add_node_port(TCP, 30081, here);
    world
}

/// A client's way to its backend and back.
struct Way {
    there: Place,
    back: Place,
}

/// Establishes a connection from `client` to `front`; returns what its next packet becomes.
fn connect<F: Net>(world: &World<F>, way: &Way, client: u16, front: SocketAddr) -> Sent {
    let client = at::<F>(client, 50000);
    let sent = world.send(way.there, &open(TCP, client, front));
    world.send(way.back, &reply(TCP, sent.dst, sent.src));
    world.send(way.there, &next(TCP, client, front))
}

fn costs<F: Net>() -> Costs {
    let through = Way { there: UPLINK_IN, back: UPLINK_IN };
    let into = Way { there: UPLINK_IN, back: UPLINK_OUT };
    let out_of = Way { there: POD_IN, back: POD_OUT };
    let (client, node_port, local_port) =
        (at::<F>(OUTSIDE, 50000), at::<F>(NODE, 30080), at::<F>(NODE, 30081));
    let (far_pod, pod, vip) = (at::<F>(FAR, 40000), at::<F>(POD, 8080), at::<F>(VIP, 80));
    let mut costs = Costs::new();
    let mut measure = |paths: &[&str], world: &World<F>, place, sketch| {
        world.cost.take();
        world.send(place, &sketch);
        let cost = world.cost.take();
        for path in paths {
            assert_eq!(costs.insert((*path).to_owned(), cost), None, "{path}");
        }
    };

    let snat = world::<F>(0);
    let sent = connect(&snat, &through, OUTSIDE, node_port);
    let paths = ["uplink_xdp: node port, snat", "uplink_ingress: node port, snat"];
    measure(&paths, &snat, UPLINK_IN, next(TCP, client, node_port));
    let answer = next(TCP, sent.dst, sent.src);
    measure(&["uplink_xdp: node port, snat, answer"], &snat, UPLINK_IN, answer);
    let first = open(TCP, at::<F>(OUTSIDE, 50001), node_port);
    measure(&["uplink_xdp: node port, snat, new flows"], &snat, UPLINK_IN, first);

    let sent = connect(&snat, &into, OUTSIDE, local_port);
    let path = "uplink_ingress: node port, backend here";
    measure(&[path], &snat, UPLINK_IN, next(TCP, client, local_port));
    measure(&["uplink_egress: node port, answer"], &snat, UPLINK_OUT, next(TCP, sent.dst, client));

    let sent = connect(&snat, &out_of, POD, vip);
    let pod_client = at::<F>(POD, 50000);
    measure(&["pod_ingress: pod to ClusterIP"], &snat, POD_IN, next(TCP, pod_client, vip));
    measure(&["pod_egress: pod to ClusterIP, answer"], &snat, POD_OUT, next(TCP, sent.dst, pod_client));

    let to_pod = || next(TCP, far_pod, pod);
    let from_pod = || next(TCP, pod, far_pod);
    let paths = ["uplink_xdp: no Service's, to a pod", "uplink_ingress: no Service's"];
    measure(&paths, &snat, UPLINK_IN, to_pod());
    measure(
        &["uplink_xdp: no Service's, to the node"],
        &snat,
        UPLINK_IN,
        next(TCP, client, at::<F>(NODE, 22)),
    );
    measure(&["pod_ingress: no Service's"], &snat, POD_IN, from_pod());
    measure(&["pod_egress: no Service's"], &snat, POD_OUT, to_pod());
    let syn = |src, dst| open(TCP, src, dst);
    measure(&["pod_ingress: no Service's, SYN"], &snat, POD_IN, syn(pod, far_pod));
    measure(&["pod_egress: no Service's, SYN"], &snat, POD_OUT, syn(far_pod, pod));
    measure(&["uplink_egress: no Service's"], &snat, UPLINK_OUT, from_pod());

    let dsr = world::<F>(DSR_TCP);
    dsr.send(UPLINK_IN, &open(TCP, client, node_port));
    dsr.send(UPLINK_IN, &next(TCP, client, node_port));
    measure(&["uplink_xdp: node port, dsr"], &dsr, UPLINK_IN, next(TCP, client, node_port));
    costs.extend(connections::<F>());
    costs
}

/// Whole connections: a SYN, its answer, the third packet, a reset; each at the client's device and at the backend's.
fn connections<F: Net>() -> Costs {
    let world = world::<F>(0);
    let pass = |client, front| {
        world.cost.take();
        let way = |sketch: &Sketch| {
            let sent = world.send(POD_IN, sketch);
            world.send(POD_OUT, &Sketch { src: sent.src, dst: sent.dst, ..sketch.clone() });
            sent
        };
        let sent = way(&open(TCP, client, front));
        way(&reply(TCP, sent.dst, sent.src));
        way(&next(TCP, client, front));
        way(&next(TCP, client, front).with(RST));
        world.cost.take()
    };
    let direct = pass(at::<F>(POD, 50000), at::<F>(PEER, 8080));
    let through = pass(at::<F>(POD, 50001), at::<F>(VIP, 80));
    Costs::from([
        ("pod to pod: a connection".into(), direct),
        ("pod to ClusterIP: a connection".into(), through),
    ])
}

#[test]
fn each_path_costs_what_is_written_down() {
    assert_eq!(costs::<V4>(), expected(), "IPv4");
    assert_eq!(costs::<V6>(), expected(), "IPv6");
}
