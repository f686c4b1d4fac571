//! Tuples that are nobody's, and what the loaded programs remember of them.

use aya::maps::PerCpuArray;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use svclb_common::{flow::stranger::STRANGERS, layout::map};

use crate::{
    lab::{Hook, Verdict, of},
    web::Web,
};

/// A [`Stranger`](svclb_common::flow::Stranger) of IPv4: the tuple, and the jiffy.
type Noted = [u64; 3];

struct World(Web);

impl World {
    /// Everything runs on one CPU: each notes for itself.
    fn new() -> Self {
        let mut first = CpuSet::new();
        first.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &first).unwrap();
        Self(Web::new())
    }

    fn sends(&mut self, line: &str) -> Verdict {
        self.0.send(Hook::PodIngress, line).0
    }

    /// What is noted.
    fn noted(&mut self) -> Vec<Noted> {
        let table = self.0.lab.map_mut(&of(map::STRANGERS, true)).unwrap();
        let table = PerCpuArray::<_, Noted>::try_from(table).unwrap();
        let places = (0..STRANGERS).flat_map(|place| table.get(&place, 0).unwrap().to_vec());
        places.filter(|noted| noted[2] != 0).collect()
    }
}

#[test]
fn only_packets_that_go_on_are_noted() {
    let mut world = World::new();
    for line in [
        "tcp 10.244.1.5:40000 > 10.244.2.66:80 syn",
        "tcp 10.244.1.5:40000 > 10.244.2.66:80 ack fin",
        "tcp 10.244.1.5:40000 > 10.244.2.66:80 rst",
        "tcp 10.244.1.5:40000 > 10.96.0.10:80 syn",
        "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack",
    ] {
        world.sends(line);
        assert_eq!(world.noted(), Vec::<Noted>::new(), "{line}");
    }
    for (count, line) in (1..).zip([
        "tcp 10.244.1.5:40000 > 10.244.2.66:80 ack data=hello",
        "udp 10.244.1.5:40001 > 10.244.2.66:80",
    ]) {
        assert_eq!(world.sends(line), Verdict::Next);
        assert_eq!(world.sends(line), Verdict::Next);
        assert_eq!(world.noted().len(), count, "{line}");
    }
}

/// A flow that is opened by a tuple is nobody's no longer, in the same jiffy.
#[test]
fn a_tuple_that_becomes_a_flows_is_forgotten() {
    let mut world = World::new();
    // What a backend sends of itself, before a client has called.
    let from_backend = "tcp 10.244.2.7:8080 > 10.244.1.5:40000 ack data=early";
    world.0.send(Hook::PodEgress, from_backend);
    assert_eq!(world.noted().len(), 1);
    world.sends("tcp 10.244.1.5:40000 > 10.96.0.10:80 syn");
    assert_eq!(world.noted(), Vec::<Noted>::new());
    for answer in ["tcp 10.244.2.7:8080 > 10.244.1.5:40000 syn ack", from_backend] {
        let (verdict, is_changed) = world.0.send(Hook::PodEgress, answer);
        assert!(is_changed, "{verdict:?}: {answer} keeps the backend's name");
    }
}
