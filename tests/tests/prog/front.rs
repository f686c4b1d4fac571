//! Packets in front of the stack.

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
