//! Many flows at once: who is pushed out, and how backends share them.

use std::net::SocketAddr;

use svclb_common::{
    config::DatapathConfig,
    event::RING,
    family::Addr4,
    layout::map,
    service::FrontendKind,
    sign::{Cause, Sign},
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
  frontends: [cluster-ip 10.96.0.10:80/tcp, cluster-ip 10.96.0.10:53/udp]
  backends:
    - 10.244.1.7:8080/tcp local
    - 10.244.1.8:8080/tcp local
    - 10.244.2.7:8080/tcp
    - 10.244.2.8:8080/tcp
";

/// Entries of the table of half-open flows.
const HALF_OPEN: u32 = 64;

struct World {
    node: Node,
    lab: Lab,
    written: Written,
}

impl World {
    fn new() -> Self {
        let node = Node::new().unwrap();
        let mut lab =
            Lab::new(DatapathConfig::PER_PACKET, &[("HALF_OPEN_V4", HALF_OPEN), ("FLOWS_V4", 1024)]).unwrap();
        let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
        let written = Written::new(&mut lab, &node, &services, |_| true).unwrap();
        Self { node, lab, written }
    }

    /// Sends a packet from a pod; returns the frame that goes on.
    fn pod_sends(&mut self, line: &str) -> Vec<u8> {
        let packet: Packet = line.parse().unwrap();
        let (verdict, frame) = self.lab.run(&self.node, Hook::PodIngress, &packet.frame()).unwrap();
        assert_eq!(verdict, Verdict::Next, "{line}");
        frame
    }

    /// Sends a packet to a pod, which must come to it as `expected`.
    fn pod_gets(&mut self, line: &str, expected: &str) {
        let packet: Packet = line.parse().unwrap();
        let (verdict, frame) = self.lab.run(&self.node, Hook::PodEgress, &packet.frame()).unwrap();
        assert_eq!(verdict, Verdict::Next, "{line}");
        assert!(frame == packet.then(expected).unwrap().frame(), "{line}");
    }

    fn established(&mut self) -> usize {
        self.lab.entries::<Addr4>(&of(map::FLOWS, true)).unwrap().len()
    }

    fn half_open(&mut self) -> usize {
        self.lab.entries::<Addr4>(&of(map::HALF_OPEN, true)).unwrap().len()
    }

    /// A whole handshake; returns the backend's end.
    fn connect(&mut self, client: &str) -> String {
        let frame = self.pod_sends(&format!("tcp {client} > 10.96.0.10:80 syn"));
        let backend = destination(&frame);
        self.pod_gets(&format!("tcp {backend} > {client} syn ack"), "src=10.96.0.10:80");
        self.pod_sends(&format!("tcp {client} > 10.96.0.10:80 ack"));
        backend
    }
}

/// Where a TCP or UDP frame over IPv4 goes.
fn destination(frame: &[u8]) -> String {
    let headers = etherparse::PacketHeaders::from_ethernet_slice(frame).unwrap();
    let addr = headers.net.as_ref().and_then(|net| net.ipv4_ref()).unwrap().0.destination;
    let port = match headers.transport.unwrap() {
        etherparse::TransportHeader::Tcp(tcp) => tcp.destination_port,
        etherparse::TransportHeader::Udp(udp) => udp.destination_port,
        other => panic!("{other:?}"),
    };
    SocketAddr::from((addr, port)).to_string()
}

/// Client `number` of many.
fn client(number: u32) -> String {
    format!("10.244.{}.{}:{}", 128 + number / 250 % 100, 1 + number % 250, 30_000 + number / 25_000)
}

#[test]
fn a_flood_of_syns_leaves_established_connections_alone() {
    const CONNECTIONS: u32 = 40;
    let mut world = World::new();
    let connections: Vec<(String, String)> = (0..CONNECTIONS)
        .map(|number| {
            let client = format!("10.244.1.5:{}", 40_000 + number);
            let backend = world.connect(&client);
            (client, backend)
        })
        .collect();
    assert_eq!(world.established(), 2 * CONNECTIONS as usize);
    assert_eq!(world.half_open(), 0);

    for number in 0..HALF_OPEN * 40 {
        let protocol = if number % 2 == 0 { "tcp" } else { "udp" };
        let (port, flags) = if number % 2 == 0 { (80, " syn") } else { (53, "") };
        world.pod_sends(&format!("{protocol} {} > 10.96.0.10:{port}{flags}", client(number)));
    }
    assert!(world.half_open() <= HALF_OPEN as usize);
    assert!(world.half_open() > 0);
    assert_eq!(world.established(), 2 * CONNECTIONS as usize);

    for (client, backend) in &connections {
        let frame = world.pod_sends(&format!("tcp {client} > 10.96.0.10:80 ack data=still"));
        assert_eq!(destination(&frame), *backend);
        world.pod_gets(&format!("tcp {backend} > {client} ack data=here"), "src=10.96.0.10:80");
    }
    world.connect("10.244.1.6:40000");
    assert_eq!(world.established(), 2 * CONNECTIONS as usize + 2);
    assert!(world.lab.drops().unwrap().iter().all(|(_, packets)| *packets == 0));
}

#[test]
fn backends_share_new_flows_and_every_flow_is_counted_once() {
    const FLOWS: u32 = 2400;
    let mut world = World::new();
    for number in 0..FLOWS {
        world.pod_sends(&format!("tcp {} > 10.96.0.10:80 syn", client(number)));
    }
    let picks: Vec<u64> = ["10.244.1.7:8080", "10.244.1.8:8080", "10.244.2.7:8080", "10.244.2.8:8080"]
        .iter()
        .map(|backend| {
            let id = world.written.backend(backend.parse().unwrap()).unwrap();
            world.lab.picks(true, id).unwrap()
        })
        .collect();
    // A share of 600 has a standard deviation of 21; a fair choice does not leave seven of them.
    assert!(picks.iter().all(|share| (450..750).contains(share)), "{picks:?}");
    assert_eq!(picks.iter().sum::<u64>(), u64::from(FLOWS));
    let service = world.written.service("web").unwrap();
    let traffic = world.lab.traffic(true, service).unwrap();
    assert_eq!((traffic.flows, traffic.packets), (u64::from(FLOWS), u64::from(FLOWS)));
}

#[test]
fn of_a_flood_of_refusals_all_are_counted_and_a_few_are_noted() {
    const PACKETS: u64 = 4000;
    let mut world = World::new();
    world.written.serve(&mut world.lab, "web", &[]).unwrap();
    let packet: Packet = "tcp 10.244.1.5:40000 > 10.96.0.10:80 syn".parse().unwrap();
    for _ in 0..PACKETS {
        let (verdict, _) = world.lab.run(&world.node, Hook::PodIngress, &packet.frame()).unwrap();
        assert_eq!(verdict, Verdict::Redirect);
    }
    let drops = world.lab.drops().unwrap();
    let counted =
        drops.iter().find(|(reason, _)| *reason == DropReason::NoBackend).map(|(_, packets)| *packets);
    assert_eq!(counted, Some(PACKETS));
    let logs = world.lab.logs().unwrap();
    let [(key, log)] = &logs[..] else { panic!("{} logs", logs.len()) };
    assert_eq!(key.service, world.written.service("web").unwrap());
    assert_eq!(key.cause(), Some(Cause::Drop(DropReason::NoBackend)));
    assert_eq!(log.total, PACKETS);
    // Eight in 64 jiffies, which are 64 ms at least.
    assert!(log.written >= RING as u64 && log.written < PACKETS, "{} were noted", log.written);
    assert_eq!(world.lab.events().unwrap().len() as u64, log.written);
    for record in &log.records {
        assert!(record.is_whole());
        assert_eq!(record.bytes(), packet.frame());
        assert_eq!(record.event.length as usize, packet.frame().len());
    }
}

/// What a backend's flows come to is counted by backend, and where they came in by frontend.
#[test]
fn a_connection_that_a_backend_refuses_is_counted_as_its() {
    let mut world = World::new();
    let backend = destination(&world.pod_sends("tcp 10.244.1.5:40000 > 10.96.0.10:80 syn"));
    world.pod_sends("tcp 10.244.1.5:40000 > 10.96.0.10:80 syn");
    world.pod_gets(&format!("tcp {backend} > 10.244.1.5:40000 rst ack"), "src=10.96.0.10:80");
    let id = world.written.backend(backend.parse().unwrap()).unwrap();
    let outcomes = world.lab.outcomes(true, id).unwrap();
    for sign in Sign::ALL {
        let wanted = u64::from(matches!(sign, Sign::Unanswered | Sign::RefusedByBackend));
        assert_eq!(outcomes.of(*sign), wanted, "{}", sign.as_str());
    }
    let load = world.lab.load_of(true, id).unwrap();
    assert_eq!((load.flows, load.packets, load.bytes), (1, 3, 3 * 40));
    let service = world.written.service("web").unwrap();
    let entrance = world.lab.entrance(true, service).unwrap();
    assert_eq!((entrance.of(FrontendKind::ClusterIp), entrance.of(FrontendKind::NodePort)), (1, 0));
    let mut causes: Vec<_> =
        world.lab.logs().unwrap().into_iter().map(|(key, log)| (key.service, key.cause, log.total)).collect();
    causes.sort_unstable();
    let wanted = [Sign::RefusedByBackend, Sign::Unanswered].map(|sign| (service, sign as u16, 1));
    assert_eq!(causes, wanted);
}
