//! Services, and the valid packets that mutations begin with.

use std::collections::BTreeMap;

use serde::Deserialize;
use svclb_tests::packet::Packet;

/// Every way of a packet: local and remote backends, the client itself, none, some that not everybody gets.
pub(super) const SERVICES: &str = "\
web:
  frontends: [cluster-ip 10.96.0.10:80/tcp, 'cluster-ip [fd00:96::10]:80/tcp', node-port ipv4:30080/tcp,
    node-port ipv6:30080/tcp]
  backends: [10.244.1.7:8080/tcp local, 10.244.2.7:8080/tcp, '[fd00:244:2::7]:8080/tcp',
    '[fd00:244:1::7]:8080/tcp local']
dns:
  frontends: [cluster-ip 10.96.0.53:53/udp, 'cluster-ip [fd00:96::53]:53/udp']
  backends: [10.244.1.5:5300/udp local, 10.244.2.9:5353/udp, '[fd00:244:1::5]:53/udp local']
gone:
  frontends: [cluster-ip 10.96.0.99:80/tcp, 'cluster-ip [fd00:96::99]:53/udp', cluster-ip 10.96.0.99:53/udp]
mine:
  frontends: [cluster-ip 10.96.0.30:80/tcp, 'cluster-ip [fd00:96::30]:80/tcp']
  backends: [10.244.1.5:8080/tcp local, '[fd00:244:1::5]:8080/tcp local']
call:
  frontends: [cluster-ip 10.96.0.20:5060/sctp, 'external-ip [2001:db8:ffff::20]:5060/sctp', node-port ipv4:30060/sctp]
  backends: [10.244.1.8:5060/sctp local, 10.244.2.8:5061/sctp, '[fd00:244:2::8]:5061/sctp']
game:
  frontends: [external-ip 203.0.113.9:7777/udp, 'external-ip [2001:db8:ffff::9]:7777/udp']
  backends: [10.244.2.8:7000/udp, 10.244.3.8:7000/udp, '[fd00:244:3::8]:7000/udp']
  session_affinity: 10800
home:
  frontends: [load-balancer 203.0.113.20:80/tcp, 'load-balancer [2001:db8:ffff::20]:80/tcp']
  backends: [10.244.1.9:8080/tcp local, 10.244.2.10:8080/tcp, '[fd00:244:1::9]:8080/tcp local']
  external_traffic_policy: Local
guarded:
  frontends: [load-balancer 203.0.113.30:443/tcp]
  backends: [10.244.1.9:8443/tcp local]
  source_ranges: [198.51.100.0/28]
";

/// Ranges of addresses that only Services have.
pub(super) const CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];

/// What is written of a service that says whose a packet is.
#[derive(Deserialize)]
pub(super) struct Named {
    /// `<kind> <address>:<port>/<protocol>`.
    pub(super) frontends: Vec<String>,
    /// `<address>:<port>/<protocol>`, with a word behind it.
    #[serde(default)]
    pub(super) backends: Vec<String>,
}

/// The services by name.
pub(super) fn services() -> BTreeMap<String, Named> {
    serde_saphyr::from_str(SERVICES).expect("services")
}

/// Valid packets to begin with.
const LINES: [&str; 64] = [
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 syn tcp-options=syn",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack data=hello",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 ack options=longest data=hello",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 fin ack",
    "tcp 10.244.1.5:40000 > 10.96.0.10:80 rst",
    "tcp 198.51.100.7:50000 > 192.0.2.1:30080 syn",
    "tcp 198.51.100.7:50000 > 192.0.2.1:30080 ack data=hello padding=7",
    "tcp [2001:db8:5::7]:50000 > [2001:db8::1]:30080 syn",
    "tcp [2001:db8:5::7]:50000 > [2001:db8::1]:30080 ack data=hello",
    "tcp 192.0.2.1:40000 > 10.96.0.10:80 syn",
    "tcp 127.0.0.1:40000 > 127.0.0.1:30080 syn",
    "tcp 10.244.1.7:8080 > 10.244.1.5:40000 syn ack",
    "tcp 10.244.2.7:8080 > 10.244.1.5:40000 syn ack",
    "tcp 10.244.2.7:8080 > 192.0.2.1:1024 syn ack",
    "tcp 10.244.1.7:8080 > 198.51.100.7:50000 syn ack",
    "tcp [fd00:244:1::5]:40000 > [fd00:96::10]:80 syn",
    "tcp [fd00:244:1::5]:40000 > [fd00:96::10]:80 ack data=hello",
    "tcp [fd00:244:2::7]:8080 > [fd00:244:1::5]:40000 syn ack",
    "udp 10.244.1.5:40000 > 10.96.0.53:53 data=question",
    "udp 10.244.1.5:40000 > 10.96.0.53:53 check=none data=question",
    "udp 10.244.2.9:5353 > 10.244.1.5:40000 data=answer",
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
    "tcp 10.244.1.5:40000 > 10.96.0.30:80 syn",
    "tcp 10.244.1.5:8080 > 10.96.0.30:40000 syn ack",
    "tcp [fd00:244:1::5]:40000 > [fd00:96::30]:80 syn",
    "sctp 10.244.1.5:40000 > 10.96.0.20:5060 chunk=init size=20",
    "sctp 10.244.1.8:5060 > 10.244.1.5:40000 chunk=init-ack size=20",
    "sctp 198.51.100.7:50000 > 192.0.2.1:30060 chunk=init size=20",
    "sctp [2001:db8:5::7]:50000 > [2001:db8:ffff::20]:5060 chunk=data size=33",
    "udp 198.51.100.7:50000 > 203.0.113.9:7777 data=left",
    "udp 198.51.100.7:50000 > 203.0.113.9:7777 size=1465 df",
    "udp [2001:db8:5::7]:50000 > [2001:db8:ffff::9]:7777 size=1445",
    "udp [fd00:244:3::8]:7000 > [2001:db8:3::1]:1024 data=right",
    "tcp 198.51.100.7:50000 > 203.0.113.20:80 syn",
    "tcp 198.51.101.7:50000 > 203.0.113.30:443 syn",
    "tcp 198.51.100.7:50000 > 203.0.113.20:80 syn ttl=62 in-ip=192.0.2.2>10.244.1.9",
    "tcp 198.51.100.7:50000 > 203.0.113.20:80 ack data=hello in-ip=192.0.2.2>10.244.1.9",
    "tcp [2001:db8:5::7]:50000 > [2001:db8:ffff::20]:80 syn in-ip=2001:db8::2>fd00:244:1::9",
    "tcp 198.51.100.7:50000 > 192.0.2.2:30080 syn in-udp=192.0.2.2:55555>10.244.1.7:6080",
    "tcp [2001:db8:5::7]:50000 > [2001:db8:ffff::20]:80 syn in-udp=[2001:db8::2]:55555>[fd00:244:1::9]:6080",
    "unreachable 10.244.2.7 > 10.244.1.5 about tcp 10.244.1.5:40000 > 10.244.2.7:8080 syn",
    "too-big 192.0.2.9 > 10.244.1.5 quotes=8 about tcp 10.244.1.5:40000 > 10.244.1.7:8080 options=longest ack",
    "unreachable 10.244.2.9 > 10.244.1.5 about udp 10.244.1.5:40000 > 10.244.2.9:5353 data=question",
    "too-big 198.51.100.7 > 192.0.2.1 about tcp 192.0.2.1:30080 > 198.51.100.7:50000 syn ack",
    "too-big 2001:db8::9 > fd00:244:1::5 about tcp [fd00:244:1::5]:40000 > [fd00:244:2::7]:8080 syn",
    "unreachable fd00:244:1::5 > fd00:96::53 about udp [fd00:96::53]:53 > [fd00:244:1::5]:40000 data=answer",
    "time-exceeded 192.0.2.9 > 10.244.1.5 about sctp 10.244.1.5:40000 > 10.244.1.8:5060 chunk=init size=20",
    "echo 10.244.1.5 > 10.96.0.10 data=abcdefgh",
    "echo fd00:244:1::5 > fd00:96::10 data=abcdefgh",
    "tcp 10.244.1.5:40000 > 10.96.0.11:80 syn",
    "udp 198.51.100.7:50000 > 10.96.0.10:81 data=hello",
    "tcp [2001:db8:5::7]:50000 > [fd00:96::f1]:80 syn",
    "esp 10.244.1.5 > 10.96.0.10 size=40",
];

/// Their frames.
pub(super) fn frames() -> Vec<Vec<u8>> {
    LINES.iter().map(|line| line.parse::<Packet>().expect("a line").frame()).collect()
}

/// Addresses that mean something, of both families.
pub(super) const ADDRESSES: [(&str, &str); 16] = [
    ("10.96.0.10", "fd00:96::10"),
    ("10.96.0.53", "fd00:96::53"),
    ("10.96.0.99", "fd00:96::99"),
    ("10.96.0.30", "fd00:96::30"),
    ("10.96.0.77", "fd00:96::77"),
    ("203.0.113.9", "2001:db8:ffff::9"),
    ("203.0.113.20", "2001:db8:ffff::20"),
    ("192.0.2.1", "2001:db8::1"),
    ("10.244.1.5", "fd00:244:1::5"),
    ("10.244.1.7", "fd00:244:1::7"),
    ("10.244.2.7", "fd00:244:2::7"),
    ("10.244.2.8", "fd00:244:2::8"),
    ("10.244.3.8", "fd00:244:3::8"),
    ("198.51.100.7", "2001:db8:5::7"),
    ("10.244.9.9", "fd00:244:9::9"),
    ("127.0.0.1", "::1"),
];

/// Ports that mean something.
pub(super) const PORTS: [u16; 12] = [80, 53, 8080, 5353, 5300, 7777, 7000, 5060, 30080, 40_000, 50_000, 6080];
