//! The filters in front of the tables: what the loaded programs leave in them, and what they ask only for them.

use aya::maps::HashMap;
use svclb_common::{
    family::Addr4,
    flow::{
        FlowRecord,
        filter::{EraWord, Eras, PLACES, place},
    },
    key::{FlowKey, FrontendKey},
    layout::map,
    line::{LINE, Line},
    service,
    wire::Transport,
};

use crate::{
    lab::{Hook, Verdict, of},
    web::Web,
};

/// A connection from a pod, as its device and the answers' see it.
const CONNECTION: [(Hook, &str); 4] = [
    (Hook::PodIngress, "tcp 10.244.1.5:40000 > 10.96.0.10:80 syn"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:40000 syn ack"),
    (Hook::PodIngress, "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack"),
    (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:40000 ack data=hello"),
];

const RESET: (Hook, &str) = (Hook::PodIngress, "tcp 10.244.1.5:40000 > 10.96.0.10:80 rst");

struct World(Web);

impl World {
    fn new() -> Self {
        Self(Web::new())
    }

    /// Whether the packet was translated.
    fn is_translated(&mut self, (hook, line): (Hook, &str)) -> bool {
        let (verdict, is_changed) = self.0.send(hook, line);
        assert_eq!(verdict, Verdict::Next, "{line}");
        is_changed
    }

    /// Keys of all entries of flows.
    fn keys(&mut self) -> Vec<FlowKey<Addr4>> {
        let tables = [map::FLOWS, map::HALF_OPEN];
        let keys = tables.map(|name| {
            let table = self.0.lab.map_mut(&of(name, true)).unwrap();
            let table = HashMap::<_, FlowKey<Addr4>, FlowRecord<Addr4>>::try_from(table).unwrap();
            table.keys().collect::<Result<Vec<_>, _>>().unwrap()
        });
        keys.concat()
    }

    /// Every place with a mark, and the mark.
    fn marks(&mut self) -> Vec<(u32, u8)> {
        let name = of(map::FLOW_FILTER, true);
        let lines = (0..PLACES / LINE as u32).map(|line| self.0.lab.get::<[u8; LINE]>(&name, line).unwrap());
        let places = (0..).zip(lines.flatten());
        places.filter(|(_, mark)| *mark != 0).collect()
    }

    /// Says that the collector has walked so often.
    fn walk(&mut self, walks: u32) {
        let eras = (0..walks).fold(Eras::FIRST, |eras, _| eras.walk().walked());
        self.0.lab.set(&of(map::FLOW_ERAS, true), 0, EraWord::new(eras).value()).unwrap();
    }

    /// Wipes the mark of a tuple away.
    fn wipe(&mut self, key: &FlowKey<Addr4>) {
        let (name, place) = (of(map::FLOW_FILTER, true), place(key));
        let mut line = self.0.lab.get::<[u8; LINE]>(&name, Line::of(place)).unwrap();
        assert_ne!(std::mem::take(&mut line[place as usize % LINE]), 0, "no mark");
        self.0.lab.set(&name, Line::of(place), line).unwrap();
    }
}

#[test]
fn every_entry_has_its_mark_and_nothing_else_has() {
    let mut world = World::new();
    for packet in CONNECTION.into_iter().chain([RESET]) {
        assert!(world.is_translated(packet), "{packet:?}");
        let mut places: Vec<_> = world.keys().iter().map(place).collect();
        places.sort_unstable();
        assert_eq!(places.len(), 2, "both directions");
        let marked: Vec<_> = world.marks().into_iter().map(|(place, _)| place).collect();
        assert_eq!(marked, places, "{packet:?}");
    }
    for line in ["tcp 10.244.1.5:40000 > 10.244.2.66:80 syn", "tcp 10.244.1.5:40000 > 10.244.2.66:80 rst"] {
        assert!(!world.is_translated((Hook::PodIngress, line)));
        assert_eq!(world.marks().len(), 2, "{line}");
    }
}

/// What is in the midst of a connection asks the table; what ends one asks the filter first.
#[test]
fn without_a_mark_no_table_is_asked() {
    let mut world = World::new();
    assert!(CONNECTION.into_iter().all(|packet| world.is_translated(packet)));
    for key in world.keys() {
        world.wipe(&key);
    }
    assert!(world.is_translated(CONNECTION[2]) && world.is_translated(CONNECTION[3]));
    let fin = (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:40000 ack fin");
    assert!(!world.is_translated(fin), "the flow was found without a mark");
}

/// A mark is of the era in which it is made, and counts as long as that does.
#[test]
fn marks_are_of_their_era() {
    let mut world = World::new();
    let mut marks = Vec::new();
    for walks in 0..4 {
        assert!(CONNECTION.into_iter().all(|packet| world.is_translated(packet)), "{walks}");
        // A connection that is opened anew writes its entries anew.
        assert!(world.is_translated(RESET));
        marks.push(world.marks());
        world.walk(walks + 1);
    }
    marks.dedup();
    assert_eq!(marks.len(), 4, "each era has a mark of its own");
    let reply = (Hook::PodEgress, "tcp 10.244.2.7:8080 > 10.244.1.5:40000 ack fin");
    assert!(world.is_translated(reply), "the era before still counts");
    world.walk(9);
    assert!(!world.is_translated(reply), "no walk has renewed it");
}

#[test]
fn where_no_frontend_is_counted_none_is_looked_for() {
    let mut world = World::new();
    let key =
        FrontendKey::new(Addr4::from(std::net::Ipv4Addr::new(10, 96, 0, 10)), 80_u16.to_be(), Transport::Tcp);
    let (name, place) = (of(map::FRONTEND_FILTER, true), service::filter::place(&key));
    let mut line = world.0.lab.get::<[u8; LINE]>(&name, Line::of(place)).unwrap();
    assert_eq!(std::mem::take(&mut line[place as usize % LINE]), 1);
    world.0.lab.set(&name, Line::of(place), line).unwrap();
    assert!(!world.0.send(CONNECTION[0].0, CONNECTION[0].1).1);
    assert_eq!(world.keys().len(), 0);
}
