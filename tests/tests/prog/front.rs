//! Packets in front of the stack.

use std::{net::IpAddr, ops::Range};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use svclb_common::{config::DatapathConfig, layout::map};
use svclb_tests::packet::{Packet, judge};

use crate::{
    lab::{Lab, Verdict},
    node::{Device, Node},
    tables::{Services, Written},
};

const SERVICES: &str = "\
web:
  frontends: [node-port ipv4:30080/udp, node-port ipv6:30080/udp]
  backends: ['10.244.2.7:8080/udp', '[fd00:244:2::7]:8080/udp']
far:
  frontends: [node-port ipv4:30081/udp]
  backends: ['10.244.3.7:8080/udp']
none:
  frontends: [node-port ipv4:30082/udp]
";

fn lab(node: &Node) -> Lab {
    let mut lab = Lab::new(DatapathConfig::PER_PACKET, &[]).unwrap();
    let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
    Written::new(&mut lab, node, &services, |_| true).unwrap();
    lab
}

fn run(lab: &mut Lab, node: &Node, frame: &[u8]) -> (Verdict, Vec<u8>) {
    lab.run_in_front("uplink_xdp", node.index(Device::Uplink), frame).unwrap()
}

fn frame(line: &str) -> Vec<u8> {
    line.parse::<Packet>().unwrap().frame()
}

#[test]
fn a_frame_with_a_vlans_tag_goes_on_to_its_vlans_device() {
    let node = Node::new().unwrap();
    let mut lab = lab(&node);
    for line in [
        "udp 192.0.2.2:50000 > 192.0.2.1:30080 data=hello",
        "udp 192.0.2.2:50000 > 192.0.2.1:30082 data=hello",
        "udp [2001:db8::2]:50000 > [2001:db8::1]:30080 data=hello",
    ] {
        let plain = frame(line);
        for tags in [&[0x8100_u16][..], &[0x88a8, 0x8100]] {
            let mut tagged = plain.clone();
            for tag in tags.iter().rev() {
                let [high, low] = tag.to_be_bytes();
                tagged.splice(12..12, [high, low, 0, 5]);
            }
            assert_eq!(run(&mut lab, &node, &tagged), (Verdict::Next, tagged), "{line}");
        }
        assert_ne!(run(&mut lab, &node, &plain).0, Verdict::Next, "{line}");
    }
}

#[test]
fn a_frame_of_several_buffers_is_translated_by_its_first() {
    let node = Node::new().unwrap();
    Node::set_mtu(Device::Uplink, 9000).unwrap();
    let mut lab = lab(&node);
    let big = frame("udp 192.0.2.2:50000 > 192.0.2.1:30080 size=8000");
    let (verdict, out) = run(&mut lab, &node, &big);
    assert_eq!((verdict, out.len()), (Verdict::Back, big.len()));
    assert_eq!(judge(&out), Ok(()));
    assert_eq!(out[50..], big[50..], "the payload");
    let big = frame("udp [2001:db8::2]:50000 > [2001:db8::1]:30080 size=8000");
    let (verdict, out) = run(&mut lab, &node, &big);
    assert_eq!((verdict, judge(&out)), (Verdict::Back, Ok(())));
}

#[test]
fn what_is_too_large_for_the_way_goes_on_as_it_is() {
    let node = Node::new().unwrap();
    let mut lab = lab(&node);
    // The device has an MTU of 1500.
    for to in ["192.0.2.1:30080", "192.0.2.1:30081"] {
        let big = frame(&format!("udp 192.0.2.2:50000 > {to} size=2000"));
        assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big), "{to}");
    }
    let big = frame("udp [2001:db8::2]:50000 > [2001:db8::1]:30080 size=2000");
    assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big));
}

#[test]
fn several_buffers_are_neither_cut_nor_handed_to_other_devices() {
    let node = Node::new().unwrap();
    Node::set_mtu(Device::Uplink, 9000).unwrap();
    Node::set_mtu(Device::Second, 9000).unwrap();
    let mut lab = lab(&node);
    for port in [30081, 30082] {
        let big = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} size=8000"));
        assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big), "{port}");
        let small = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} size=80"));
        assert_ne!(run(&mut lab, &node, &small).0, Verdict::Next, "{port}");
    }
    let refused = lab.drops().unwrap().iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!(refused, 1, "the one that was answered");
}

#[test]
fn the_program_for_frames_of_one_buffer_does_the_same() {
    let node = Node::new().unwrap();
    let mut lab = lab(&node);
    for port in [30080, 30081, 30082] {
        let frame = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} data=hello"));
        let device = node.index(Device::Uplink);
        let one = lab.run_in_front("uplink_xdp_page", device, &frame).unwrap();
        assert_eq!(one, lab.run_in_front("uplink_xdp", device, &frame).unwrap(), "{port}");
    }
}

/// The next hop's address is asked for once, and again when the agent says that ways have changed.
#[test]
fn a_next_hop_is_remembered_until_ways_change() {
    const MOVED: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
    let node = Node::new().unwrap();
    let mut lab = lab(&node);
    for (number, ends) in
        (0..).zip(["192.0.2.2:50000 > 192.0.2.1:30080", "[2001:db8::2]:50000 > [2001:db8::1]:30080"])
    {
        Node::move_next_hop("02:00:00:00:02:02").unwrap();
        lab.set(map::ROUTES, 0, 2 * number).unwrap();
        let frame = frame(&format!("udp {ends} data=hello"));
        let mut sent = || {
            let (verdict, out) = run(&mut lab, &node, &frame);
            assert_eq!(verdict, Verdict::Back);
            out[..6].to_vec()
        };
        let first = sent();
        assert_eq!(first, [2, 0, 0, 0, 2, 2]);
        Node::move_next_hop("02:00:00:00:00:99").unwrap();
        // A jiffy that is a multiple of 1024 ends what is remembered: it comes once in seconds, not twice in a row.
        let is_remembered = (0..2).any(|_| {
            Node::move_next_hop("02:00:00:00:02:02").unwrap();
            assert_eq!(sent(), first);
            Node::move_next_hop("02:00:00:00:00:99").unwrap();
            sent() == first
        });
        assert!(is_remembered || sent() == MOVED, "{ends}");
        assert!(is_remembered, "{ends}: it was asked for each packet");
        lab.set(map::ROUTES, 0, 2 * number + 1).unwrap();
        assert_eq!(run(&mut lab, &node, &frame).1[..6], MOVED, "{ends}");
    }
}

/// A family's next hop to its backend, and addresses that the node may use on the way.
struct Family {
    node_port: &'static str,
    client: &'static str,
    pods: &'static str,
    via: &'static str,
    sources: [&'static str; 2],
    /// Where the source stands in a frame.
    source: Range<usize>,
}

const FAMILIES: [Family; 2] = [
    Family {
        node_port: "192.0.2.1:30080",
        client: "192.0.2.2",
        pods: "10.244.2.0/24",
        via: "192.0.2.2",
        sources: ["192.0.2.1", "172.16.3.1"],
        source: 26..30,
    },
    Family {
        node_port: "[2001:db8::1]:30080",
        client: "[2001:db8::2]",
        pods: "fd00:244:2::/64",
        via: "2001:db8::2",
        sources: ["2001:db8::1", "2001:db8:4::1"],
        source: 22..38,
    },
];

const LINKS: [&str; 2] = ["02:00:00:00:02:02", "02:00:00:00:00:99"];

/// The first or the second way of everything, as far as the kernel knows.
fn take_way(family: &Family, which: usize) {
    Node::move_next_hop(LINKS[which]).unwrap();
    Node::move_source(family.pods, family.via, family.sources[which]).unwrap();
}

/// The way that a new flow takes, if all of it is the first or the second.
fn way_of_another(lab: &mut Lab, node: &Node, family: &Family, port: &mut u16) -> Option<usize> {
    *port += 1;
    let line = format!("udp {}:{port} > {} data=hello", family.client, family.node_port);
    let (verdict, out) = run(lab, node, &frame(&line));
    assert_eq!((verdict, judge(&out)), (Verdict::Back, Ok(())), "{line}");
    let ways = LINKS.iter().zip(family.sources).map(|(link, source)| {
        let link: Vec<u8> = link.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let source = match source.parse().unwrap() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        (link, source)
    });
    let found = (out[..6].to_vec(), out[family.source.clone()].to_vec());
    ways.into_iter().position(|way| way == found)
}

/// What a first packet has found out about the way to its backend counts for the flows that come after it.
#[test]
fn a_way_is_known_to_all_flows_to_a_backend_until_ways_change() {
    // Each CPU knows for itself.
    let mut first = CpuSet::new();
    first.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &first).unwrap();
    let node = Node::new().unwrap();
    let mut lab = lab(&node);
    for family in &FAMILIES {
        let (mut port, mut changes) = (50000, 0_u32);
        // As above: on a busy machine what is known may end before it is asked for, and not each time.
        let is_known = (0..8).any(|_| {
            changes += 1;
            lab.set(map::ROUTES, 0, changes).unwrap();
            take_way(family, 0);
            assert_eq!(way_of_another(&mut lab, &node, family, &mut port), Some(0));
            take_way(family, 1);
            way_of_another(&mut lab, &node, family, &mut port) == Some(0)
        });
        assert!(is_known, "{}: each flow asks", family.node_port);
        lab.set(map::ROUTES, 0, changes + 1).unwrap();
        assert_eq!(way_of_another(&mut lab, &node, family, &mut port), Some(1));
    }
}
