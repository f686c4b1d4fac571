//! A small range of source ports, taken to the last one by the loaded programs.

use std::collections::BTreeSet;

use svclb_common::{
    config::{BPF_LOOP, DatapathConfig},
    family::Addr4,
    layout::map,
    verdict::DropReason,
};
use svclb_tests::packet::Packet;

use crate::{
    lab::{Hook, Lab, Verdict, of},
    node::Node,
    tables::{Services, Written},
};

const SERVICES: &str = "\
web:
  frontends: [external-ip 203.0.113.9:80/tcp, 'external-ip [2001:db8:ffff::9]:80/tcp']
  backends: [10.244.2.7:8080/tcp, '[fd00:244:2::7]:8080/tcp']
other:
  frontends: [external-ip 203.0.113.10:80/tcp]
  backends: [10.244.2.8:8080/tcp]
";

/// Neither a power of two nor few.
const PORTS: u16 = 37;
const FIRST: u16 = 20_000;

struct World {
    node: Node,
    lab: Lab,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Port(u16),
    Refused,
    Nothing,
}

impl World {
    fn new(flags: u32) -> Self {
        let node = Node::new().unwrap();
        let (snat_port_min, snat_port_max) = (FIRST, FIRST + PORTS - 1);
        let config = DatapathConfig { snat_port_min, snat_port_max, flags, ..DatapathConfig::PER_PACKET };
        let mut lab = Lab::new(config, &[]).unwrap();
        let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
        Written::new(&mut lab, &node, &services, |_| true).unwrap();
        Self { node, lab }
    }

    fn sends(&mut self, line: &str) -> (Verdict, Vec<u8>) {
        let packet: Packet = line.parse().unwrap();
        self.lab.run(&self.node, Hook::UplinkIngress, &packet.frame()).unwrap()
    }

    /// A client outside opens a connection.
    fn calls(&mut self, client: &str, vip: &str) -> Told {
        let (verdict, frame) = self.sends(&format!("tcp {client} > {vip} syn"));
        let headers = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap();
        let tcp = headers.transport.and_then(etherparse::TransportHeader::tcp);
        match (verdict, tcp) {
            (Verdict::Redirect, Some(tcp)) if tcp.rst => Told::Refused,
            (Verdict::Redirect, Some(tcp)) => {
                assert!((FIRST..FIRST + PORTS).contains(&tcp.source_port));
                Told::Port(tcp.source_port)
            }
            (Verdict::Drop, _) => Told::Nothing,
            other => panic!("{other:?}"),
        }
    }

    fn exhausted(&mut self) -> u64 {
        let drops = self.lab.drops().unwrap();
        drops.iter().find(|(reason, _)| *reason == DropReason::PortsExhausted).unwrap().1
    }
}

#[test]
fn every_port_of_the_range_is_found_and_then_clients_are_refused() {
    for (client, vip) in [("198.51.100.7", "203.0.113.9:80"), ("[2001:db8:5::7]", "[2001:db8:ffff::9]:80")] {
        let mut world = World::new(DatapathConfig::PER_PACKET.flags);
        let mut ports = BTreeSet::new();
        for n in 0..PORTS {
            match world.calls(&format!("{client}:{}", 40_000 + n), vip) {
                Told::Port(port) => assert!(ports.insert(port), "{port} is another's"),
                told => panic!("{told:?} with {} ports left", PORTS - n),
            }
        }
        assert_eq!(world.exhausted(), 0);
        for n in 0..5 {
            assert_eq!(world.calls(&format!("{client}:{}", 50_000 + n), vip), Told::Refused);
        }
        assert_eq!(world.exhausted(), 5);
        // The tables say the same as the packets.
        let is_v4 = !vip.starts_with('[');
        if is_v4 {
            assert_eq!(world.lab.entries::<Addr4>(&of(map::HALF_OPEN, true)).unwrap().len(), 2 * ports.len());
            let told = world.calls("198.51.100.7:40000", "203.0.113.10:80");
            assert!(matches!(told, Told::Port(_)), "another backend has ports of its own: {told:?}");
        }
    }
}

#[test]
fn a_port_is_free_again_when_its_connection_was_reset() {
    let mut world = World::new(DatapathConfig::PER_PACKET.flags);
    let vip = "203.0.113.9:80";
    let ports: Vec<_> =
        (0..PORTS).map(|n| world.calls(&format!("198.51.100.7:{}", 40_000 + n), vip)).collect();
    world.sends(&format!("tcp 198.51.100.7:40005 > {vip} rst"));
    assert_eq!(world.calls("198.51.100.8:1", vip), ports[5]);
    assert_eq!(world.calls("198.51.100.8:2", vip), Told::Refused);
}

#[test]
fn without_loops_a_client_that_repeats_itself_gets_the_last_port() {
    let mut world = World::new(DatapathConfig::PER_PACKET.flags & !BPF_LOOP);
    let mut ports = BTreeSet::new();
    for n in 0..PORTS {
        let client = format!("198.51.100.7:{}", 40_000 + n);
        // A search in vain, because its order began before others came, is made again.
        let told = (0..10_000).map(|_| world.calls(&client, "203.0.113.9:80"));
        let port =
            told.into_iter().find_map(|told| if let Told::Port(port) = told { Some(port) } else { None });
        assert!(ports.insert(port.unwrap()));
    }
    assert!((0..64).any(|_| world.calls("198.51.100.8:1", "203.0.113.9:80") == Told::Refused));
}
