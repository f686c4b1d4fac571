//! Any bytes through every program.

use std::{cell::RefCell, net::Ipv4Addr};

use etherparse::{IpNumber, LaxPacketHeaders, NetHeaders};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use svclb_common::config::DatapathConfig;
use svclb_tests::packet::{Packet, judge};

use crate::{
    lab::{Hook, Lab, Verdict},
    node::{Device, Node},
    tables::{Services, Written},
};

/// Every way of a packet: local and remote backends, the client itself, none.
const SERVICES: &str = "\
web:
  frontends: [cluster-ip 10.96.0.10:80/tcp, 'cluster-ip [fd00:96::10]:80/tcp', node-port ipv4:30080/tcp]
  backends: [10.244.1.7:8080/tcp local, 10.244.2.7:8080/tcp, '[fd00:244:2::7]:8080/tcp']
dns:
  frontends: [cluster-ip 10.96.0.53:53/udp, 'cluster-ip [fd00:96::53]:53/udp']
  backends: [10.244.1.5:5300/udp local, 10.244.2.9:5353/udp, '[fd00:244:1::5]:53/udp local']
gone:
  frontends: [cluster-ip 10.96.0.99:80/tcp, 'cluster-ip [fd00:96::99]:53/udp', cluster-ip 10.96.0.99:53/udp]
";

/// Addresses of the services above, and of their backends.
const SERVICE_ADDRESSES: [&str; 7] =
    ["10.96.0.10", "fd00:96::10", "10.96.0.53", "fd00:96::53", "10.96.0.99", "fd00:96::99", "192.0.2.1"];
const BACKEND_ADDRESSES: [&str; 6] =
    ["10.244.1.7", "10.244.2.7", "10.244.2.9", "fd00:244:2::7", "10.244.1.5", "fd00:244:1::5"];

/// The addresses of the service that has no backend: answers are other frames.
const REFUSING: [&str; 2] = ["10.96.0.99", "fd00:96::99"];

/// Valid packets to begin with.
const LINES: [&str; 29] = [
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 syn tcp-options=syn",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack data=hello",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack options=longest data=hello",
    "tcp 198.51.100.7:50000 > 192.0.2.1:30080 syn",
    "tcp 192.0.2.1:40000 > 10.96.0.10:80 syn",
    "tcp 10.244.1.7:8080 > 10.244.1.5:40000 syn ack",
    "tcp 10.244.2.7:8080 > 10.244.1.5:40000 syn ack",
    "tcp [fd00:244:1::5]:40000 > [fd00:96::10]:80 syn",
    "tcp [fd00:244:2::7]:8080 > [fd00:244:1::5]:40000 syn ack",
    "udp 10.244.1.5:40000 > 10.96.0.53:53 data=question",
    "udp 10.244.1.5:40000 > 10.96.0.53:53 check=none data=question",
    "udp [fd00:244:1::5]:40000 > [fd00:96::53]:53 data=question",
    "tcp 10.244.1.5:40000 > 10.96.0.99:80 syn options=record-route",
    "udp 10.244.1.5:40000 > 10.96.0.99:53 data=question options=record-route",
    "udp [fd00:244:1::5]:40000 > [fd00:96::99]:53 data=question",
    "udp 10.244.1.5:40000 > 10.96.0.53:53 fragment=0+ id=7 size=32",
    "data/udp 10.244.1.5 > 10.96.0.53 fragment=5 id=7 size=32",
    "udp [fd00:244:1::5]:40000 > [fd00:96::53]:53 fragment=0+ id=7 size=32",
    "data/udp fd00:244:1::5 > fd00:96::53 fragment=5 id=7 size=32",
    "tcp [fd00:244:1::5]:40000 > [fd00:96::10]:80 syn extensions=hop-by-hop,destination",
    "udp [fd00:244:1::5]:40000 > [fd00:96::99]:53 data=question extensions=destination",
    "tcp 10.244.1.5:40000 > 10.244.1.9:80 syn",
    "udp [fd00:244:1::5]:40000 > [fd00:244:1::9]:80 data=hello",
    "unreachable 10.244.2.7 > 10.244.1.5 about tcp 10.244.1.5:40000 > 10.244.2.7:8080 syn",
    "too-big 192.0.2.9 > 10.244.1.5 quotes=8 about tcp 10.244.1.5:40000 > 10.244.1.7:8080 options=longest ack",
    "unreachable 10.244.2.9 > 10.244.1.5 about udp 10.244.1.5:40000 > 10.244.2.9:5353 data=question",
    "too-big 198.51.100.7 > 192.0.2.1 about tcp 192.0.2.1:30080 > 198.51.100.7:50000 syn ack",
    "too-big 2001:db8::9 > fd00:244:1::5 about tcp [fd00:244:1::5]:40000 > [fd00:244:2::7]:8080 syn",
    "unreachable fd00:244:1::5 > fd00:96::53 about udp [fd00:96::53]:53 > [fd00:244:1::5]:40000 data=answer",
];

/// A change of a frame.
#[derive(Clone, Debug)]
enum Mutation {
    /// Other bits in a byte.
    Flip(Index, u8),
    /// Another word at an even place, where lengths and ports are.
    Word(Index, u16),
    /// Fewer bytes.
    Cut(Index),
    /// More bytes.
    Append(Vec<u8>),
}

/// `BPF_PROG_TEST_RUN` takes no frame without a byte behind the Ethernet header, and
/// since Linux 6.18 none that ends before the IP header which its `EtherType` promises.
const SHORTEST: usize = 15;

/// Makes a frame as long as the kernel wants it.
fn lengthen(mut frame: Vec<u8>) -> Vec<u8> {
    let shortest = match frame[12..14] {
        [0x08, 0x00] => 14 + 20,
        [0x86, 0xdd] => 14 + 40,
        _ => SHORTEST,
    };
    frame.resize(frame.len().max(shortest), 0);
    frame
}

impl Mutation {
    fn apply(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Flip(at, bits) => *at.get_mut(frame) ^= bits,
            Self::Word(at, word) => {
                let at = at.index(frame.len() / 2) * 2;
                frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
            }
            Self::Cut(at) => frame.truncate(at.index(frame.len()).max(SHORTEST)),
            Self::Append(bytes) => frame.extend(bytes),
        }
    }
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let mutation = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (any::<Index>(), any::<u16>()).prop_map(|(at, word)| Mutation::Word(at, word)),
        any::<Index>().prop_map(Mutation::Cut),
        vec(any::<u8>(), 1..80).prop_map(Mutation::Append),
    ];
    let mutated = (select(&LINES[..]), vec(mutation, 0..4)).prop_map(|(line, mutations)| {
        let mut frame = line.parse::<Packet>().expect("a line").frame();
        for mutation in &mutations {
            mutation.apply(&mut frame);
        }
        frame
    });
    let random = (vec(any::<u8>(), SHORTEST..200), select(&[0x0800_u16, 0x86dd, 0x0806][..])).prop_map(
        |(mut frame, ethertype)| {
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            frame
        },
    );
    prop_oneof![4 => mutated, 1 => random, 1 => vec(any::<u8>(), SHORTEST..200)].prop_map(lengthen)
}

/// Source and destination as etherparse reads them, if the protocol is TCP or UDP. What
/// is wrong within the transport header is the receiver's to judge.
fn addresses(frame: &[u8]) -> Option<(String, String)> {
    let is_ours = |proto| matches!(proto, IpNumber::TCP | IpNumber::UDP);
    match LaxPacketHeaders::from_ethernet(frame).ok()?.net? {
        NetHeaders::Ipv4(ip, _) if is_ours(ip.protocol) => {
            Some((Ipv4Addr::from(ip.source).to_string(), Ipv4Addr::from(ip.destination).to_string()))
        }
        NetHeaders::Ipv6(ip, _) if is_ours(ip.next_header) || is_extension(ip.next_header.0) => {
            Some((ip.source_addr().to_string(), ip.destination_addr().to_string()))
        }
        _ => None,
    }
}

/// IPv6 extension headers that may stand before a transport header.
fn is_extension(number: u8) -> bool {
    matches!(number, 0 | 43 | 44 | 60)
}

/// Where the transport header of an IPv6 frame begins, and its number.
fn behind_extensions(frame: &[u8]) -> (usize, u8) {
    let (mut at, mut next) = (54, frame[20]);
    while let Some([following, len]) = frame.get(at..at + 2).filter(|_| is_extension(next)) {
        at += if next == 44 { 8 } else { (usize::from(*len) + 1) * 8 };
        next = *following;
    }
    (at, next)
}

/// Whether etherparse takes it for ICMP of its family.
fn is_icmp(frame: &[u8]) -> bool {
    match LaxPacketHeaders::from_ethernet(frame).ok().and_then(|headers| headers.net) {
        Some(NetHeaders::Ipv4(ip, _)) => ip.protocol == IpNumber::ICMP,
        Some(NetHeaders::Ipv6(ip, _)) => ip.next_header == IpNumber::IPV6_ICMP,
        _ => false,
    }
}

/// Whether a translation may touch that byte of a frame: addresses, ports, hops and
/// checksums, and the link's addresses.
fn may_change(frame: &[u8], at: usize) -> bool {
    let is_v4 = frame[12..14] == [0x08, 0x00];
    let (l4, proto, in_ip) = if is_v4 {
        let l4 = 14 + usize::from(frame[14] & 15) * 4;
        (l4, frame[23], at == 22 || (24..34).contains(&at))
    } else {
        let (l4, proto) = behind_extensions(frame);
        (l4, proto, (21..54).contains(&at))
    };
    let check = l4 + if proto == IpNumber::TCP.0 { 16 } else { 6 };
    at < 12 || in_ip || (l4..l4 + 4).contains(&at) || (check..check + 2).contains(&at)
}

fn check(frame: &[u8], verdict: Verdict, out: &[u8]) -> Result<(), TestCaseError> {
    let is_dropped = verdict == Verdict::Drop;
    // The mark is for what was translated.
    prop_assert!(out != frame || verdict != Verdict::Done, "{:?} of what is as it was", verdict);
    if out == frame && verdict == Verdict::Next {
        return Ok(());
    }
    if is_icmp(frame) {
        // What an error quotes becomes the sender's, checksums and all.
        prop_assert!(is_dropped || frame.len() == out.len());
        prop_assert!(is_dropped || judge(frame).is_err() || judge(out).is_ok(), "{:?}", judge(out));
        return Ok(());
    }
    let Some((src, dst)) = addresses(frame) else {
        return Err(TestCaseError::fail(format!("{verdict:?} of what is neither TCP nor UDP")));
    };
    if is_icmp(out) {
        // By its own word it was too large for the way, or nobody serves.
        prop_assert_eq!(judge(out), Ok(()));
        return Ok(());
    }
    let is_service = SERVICE_ADDRESSES.contains(&&dst[..]);
    prop_assert!(is_service || BACKEND_ADDRESSES.contains(&&src[..]), "{:?} of {} > {}", verdict, src, dst);
    if !is_dropped && !REFUSING.contains(&&dst[..]) {
        prop_assert_eq!(out.len(), frame.len());
        let foreign = (0..frame.len()).find(|at| frame[*at] != out[*at] && !may_change(frame, *at));
        prop_assert_eq!(foreign, None, "a byte that no translation touches: {} > {}", src, dst);
    }
    if !is_dropped && judge(frame).is_ok() {
        prop_assert_eq!(judge(out), Ok(()), "{} > {}", src, dst);
    }
    Ok(())
}

#[test]
fn any_frame_at_any_hook() {
    const RUNS: u32 = 6000;
    let node = Node::new().unwrap();
    let mut lab = Lab::new(DatapathConfig::PER_PACKET, &[]).unwrap();
    let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
    Written::new(&mut lab, &node, &services, |_| true).unwrap();
    let lab = RefCell::new(lab);
    let device = select(&[Device::Pod, Device::Uplink, Device::Loopback][..]);
    let mut runner = TestRunner::new(Config { cases: RUNS, failure_persistence: None, ..Config::default() });
    runner
        .run(&(frames(), select(&Hook::ALL[..]), device), |(frame, hook, device)| {
            let ran = lab.borrow_mut().run_on(node.index(device), hook, &frame);
            let (verdict, out) = ran.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
            check(&frame, verdict, &out)
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
