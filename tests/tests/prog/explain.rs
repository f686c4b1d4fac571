//! A packet that is explained becomes what it then really becomes, and explaining it changes nothing.
//!
//! A replica that was loaded over a node's tables sees the same packets as the node from then on, and each must become the
//! same in both: frame, verdict, and the reason why it was dropped.

use std::{collections::BTreeSet, net::IpAddr};

use aya::maps::{HashMap, MapData};
use etherparse::SlicedPacket;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::Pid,
};
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use svclb::{
    datapath::{
        object::names,
        pins::Pins,
        replica::{Replica, Way, is_read_only},
    },
    model::Family,
};
use svclb_common::{
    FlowRecord, config::DatapathConfig, family::Addr4, key::FlowKey, layout::map, verdict::DropReason,
};
use svclb_tests::packet::Packet;
use tempfile::TempDir;

use crate::{
    lab::{Hook, Lab, Verdict, of},
    node::Node,
    tables::{Services, Written},
};

const SERVICES: &str = "\
web:
  frontends: [cluster-ip 10.96.0.10:80/tcp, cluster-ip 10.96.0.10:80/udp]
  backends: [10.244.2.7:8080/tcp]
void:
  frontends: [cluster-ip 10.96.0.11:80/tcp]
";

/// Packets, and where they come by. Ports are filled in.
const LINES: [(Hook, &str); 15] = [
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.10:80 syn"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.10:80 ack data=hello"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.10:80 ack fin"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.10:80 rst"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:PORT syn ack"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:PORT ack data=world"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:PORT ack fin"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:PORT rst"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.244.2.7:8080 syn"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.11:80 syn"),
    (Hook::PodIngress, "tcp 10.244.1.5:PORT > 10.96.0.10:81 syn"),
    (Hook::PodIngress, "udp 10.244.1.5:PORT > 10.96.0.11:80"),
    (Hook::UplinkIngress, "tcp 198.51.100.9:PORT > 10.96.0.10:80 syn"),
    (Hook::UplinkIngress, "tcp 198.51.100.9:PORT > 10.96.0.10:80 ack data=hello"),
    (Hook::UplinkIngress, "tcp 198.51.100.9:PORT > 192.0.2.1:22 syn"),
];

fn frames() -> impl Strategy<Value = (Hook, String)> {
    (0..LINES.len(), 40_000_u16..40_004)
        .prop_map(|(line, port)| (LINES[line].0, LINES[line].1.replace("PORT", &port.to_string())))
}

/// A node whose maps are pinned where nobody else sees them.
struct World {
    node: Node,
    lab: Lab,
    pins: Pins,
    _folder: TempDir,
}

impl World {
    /// Everything runs on one CPU: each remembers for itself what is nobody's.
    fn new() -> Self {
        let mut first = CpuSet::new();
        first.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &first).unwrap();
        let folder = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("bpffs"), folder.path(), Some("bpf"), MsFlags::empty(), None::<&str>).unwrap();
        let node = Node::new().unwrap();
        let mut lab = Lab::new(DatapathConfig::PER_PACKET, &[]).unwrap();
        let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
        Written::new(&mut lab, &node, &services, |_| true).unwrap();
        let pins = Pins::new(folder.path());
        pins.create().unwrap();
        for name in names() {
            lab.map_mut(&name).unwrap().pin(pins.map(&name)).unwrap();
        }
        Self { node, lab, pins, _folder: folder }
    }

    fn send(&mut self, hook: Hook, line: &str) -> (Verdict, Vec<u8>, Vec<DropReason>) {
        let frame = line.parse::<Packet>().unwrap().frame();
        let (verdict, out) = self.lab.run(&self.node, hook, &frame).unwrap();
        let events = self.lab.events().unwrap();
        (verdict, out, events.iter().filter_map(|event| DropReason::of(event.reason)).collect())
    }

    fn replica(&self) -> Replica {
        let ends = ["10.244.1.5", "10.244.2.7", "10.96.0.10", "10.96.0.11", "198.51.100.9", "192.0.2.1"];
        let ends: BTreeSet<IpAddr> = ends.iter().map(|end| end.parse().unwrap()).collect();
        Replica::load(&self.pins, &DatapathConfig::PER_PACKET, &ends).unwrap()
    }

    fn explain(&self, replica: &mut Replica, hook: Hook, line: &str) -> (Verdict, Vec<u8>, Vec<DropReason>) {
        let frame = line.parse::<Packet>().unwrap().frame();
        let index = self.node.index(hook.device());
        let ran = replica.run(hook.program(), Family::V4, index, &frame).unwrap();
        let verdict = match ran.way {
            Way::On => Verdict::Next,
            Way::Dropped => Verdict::Drop,
            Way::Redirected | Way::Back => Verdict::Redirect,
        };
        (verdict, ran.frame, ran.reasons)
    }

    /// All flows, byte for byte, and all counters.
    fn traces(&mut self) -> (Vec<Vec<u8>>, String) {
        const KEY: usize = size_of::<FlowKey<Addr4>>();
        const VALUE: usize = size_of::<FlowRecord<Addr4>>();
        let mut flows = Vec::new();
        for name in [map::FLOWS, map::HALF_OPEN] {
            let table = self.lab.map_mut(&of(name, true)).unwrap();
            let table = HashMap::<&mut MapData, [u8; KEY], [u8; VALUE]>::try_from(table).unwrap();
            flows.extend(
                table.iter().map(|item| item.map(|(key, value)| [&key[..], &value].concat()).unwrap()),
            );
        }
        flows.sort();
        let counts = format!("{:?} {:?}", self.lab.drops().unwrap(), self.lab.traffic(true, 1).unwrap());
        (flows, counts)
    }
}

/// What stays the same where a source port is one of many.
fn ends(frame: &[u8]) -> (Option<[u8; 4]>, Option<[u8; 4]>) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let ip = sliced.net.as_ref().and_then(|net| net.ipv4_ref());
    (ip.map(|ip| ip.header().source()), ip.map(|ip| ip.header().destination()))
}

#[test]
fn what_is_told_is_what_happens_and_nothing_changes() {
    let mut world = World::new();
    let mut runner = TestRunner::deterministic();
    let mut next = move || frames().new_tree(&mut runner).unwrap().current();
    let mut kinds = BTreeSet::new();
    for _ in 0..200 {
        let (hook, line) = next();
        world.send(hook, &line);
    }
    let mut replica = world.replica();
    assert!(!world.traces().0.is_empty(), "there is a flow that might change");
    for number in 0..400 {
        let (hook, line) = next();
        let before = (number % 10 == 0).then(|| world.traces());
        let told = world.explain(&mut replica, hook, &line);
        assert!(before.is_none_or(|before| before == world.traces()), "live tables have changed: {line}");
        let became = world.send(hook, &line);
        assert_eq!((told.0, &told.2), (became.0, &became.2), "{number}: {hook:?} {line}");
        assert_eq!(ends(&told.1), ends(&became.1), "{number}: {hook:?} {line}");
        // A source port of ours is one of many.
        let is_ours = |frame: &[u8]| (1024..30_000).contains(&u16::from_be_bytes([frame[34], frame[35]]));
        let is_same = told.1 == became.1 || is_ours(&told.1) && is_ours(&became.1);
        assert!(is_same, "{number}: {hook:?} {line}: another frame");
        kinds.insert(format!("{:?} {:?}", became.0, became.2));
    }
    assert!(kinds.len() >= 4, "too little has happened: {kinds:?}");
}

/// What a run decided is told.
#[test]
fn decisions_are_read_from_the_working_memory() {
    let world = World::new();
    let mut replica = world.replica();
    let index = world.node.index(Hook::PodIngress.device());
    let mut run = |line: &str| {
        let frame = line.parse::<Packet>().unwrap().frame();
        replica.run("pod_ingress", Family::V4, index, &frame).unwrap().decided
    };
    let opened = run("tcp 10.244.1.5:40000 > 10.96.0.10:80 syn");
    assert_eq!(opened.frontend.map(|it| it.kind), Some(1));
    assert_eq!(opened.slab.map(|slab| slab.len), Some(1));
    assert!(opened.backend.is_some() && opened.path.is_some(), "{opened:?}");
    let refused = run("tcp 10.244.1.5:40000 > 10.96.0.11:80 syn");
    assert_eq!(refused.slab.map(|slab| slab.len), Some(0));
    assert_eq!((refused.backend, refused.path), (None, None));
    let foreign = run("tcp 10.244.1.5:40000 > 8.8.8.8:80 syn");
    assert_eq!((foreign.frontend, foreign.slab), (None, None));
}

/// Whatever a program may write is not a live map: the kernel says which maps a program has, and not what it does with them.
#[test]
fn what_is_shared_is_what_the_agent_writes() {
    let written = [map::FLOWS, map::HALF_OPEN, map::AFFINITIES, map::TRAFFIC, map::SOCKETS];
    for name in written {
        assert!(!is_read_only(&of(name, true)) && !is_read_only(&of(name, false)), "{name}");
    }
}
