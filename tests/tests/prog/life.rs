//! A packet's life: from a client outside over two nodes to a pod, and all the way back. What
//! leaves one program enters the next; the two nodes have tables of their own.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use svclb_common::config::{DSR_GUE, DSR_TCP, DSR_UDP, DatapathConfig};
use svclb_tests::packet::{Packet, differences, judge};

use crate::{
    lab::{Hook, Lab, Verdict},
    node::Node,
    tables::{Services, Written},
};

/// The Service as the node of the client has it, and as that of the pod.
fn services(is_local: bool) -> anyhow::Result<Services> {
    let local = if is_local { " local" } else { "" };
    let text = format!(
        "web:
  frontends: [node-port ipv4:30080/tcp, node-port ipv6:30080/tcp, load-balancer 203.0.113.9:80/tcp, \
         'load-balancer [2001:db8:ffff::9]:80/tcp']
  backends: [10.244.2.7:8080/tcp{local}, '[fd00:244:2::7]:8080/tcp{local}']
game:
  frontends: [node-port ipv4:30080/udp, node-port ipv6:30080/udp, load-balancer 203.0.113.9:80/udp, \
         'load-balancer [2001:db8:ffff::9]:80/udp']
  backends: [10.244.2.7:8080/udp{local}, '[fd00:244:2::7]:8080/udp{local}']
"
    );
    Ok(serde_saphyr::from_str(&text)?)
}

/// Both nodes.
struct Way {
    node: Node,
    first: Lab,
    second: Lab,
    /// Whether the backend answers by itself.
    by_itself: bool,
}

fn run(node: &Node, lab: &mut Lab, hook: Hook, verdict: Verdict, frame: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (found, out) = lab.run(node, hook, frame)?;
    ensure!(found == verdict, "{hook:?}: {found:?} instead of {verdict:?}");
    judge(&out).map_err(anyhow::Error::msg).with_context(|| format!("{hook:?}"))?;
    Ok(out)
}

impl Way {
    fn new(flags: u32, by_itself: bool) -> anyhow::Result<Self> {
        let node = Node::new()?;
        let mut config = DatapathConfig::PER_PACKET;
        (config.snat_port_min, config.snat_port_max) = (20_000, 20_000);
        config.flags |= flags;
        let (mut first, mut second) = (Lab::new(config, &[])?, Lab::new(config, &[])?);
        for (lab, is_local) in [(&mut first, false), (&mut second, true)] {
            Written::new(lab, &node, &services(is_local)?, |_ip| true)?;
        }
        Ok(Self { node, first, second, by_itself })
    }

    /// The client's packet, until it is in the pod.
    fn there(&mut self, line: &str, pod: &str) -> anyhow::Result<()> {
        let Self { node, first, second, by_itself } = self;
        let packet: Packet = line.parse()?;
        let frame = run(node, first, Hook::UplinkIngress, Verdict::Redirect, &packet.frame())?;
        let frame = run(node, second, Hook::UplinkIngress, Verdict::Next, &frame)?;
        let frame = run(node, second, Hook::PodEgress, Verdict::Next, &frame)?;
        let node_one = if packet.src.is_ipv4() { "192.0.2.1:20000" } else { "[2001:db8::1]:20000" };
        let client = packet.source().to_string();
        let source = if *by_itself { client.as_str() } else { node_one };
        let wanted = packet.then(&format!("src={source} dst={pod} ttl=62"))?.frame();
        ensure!(frame == wanted, "in the pod\n{}", differences(&wanted, &frame));
        Ok(())
    }

    /// The pod's answer, until it is with the client: `proto` and words of a line.
    fn back(&mut self, proto: &str, words: &str, pod: &str, ends: [&str; 2]) -> anyhow::Result<()> {
        let Self { node, first, second, by_itself } = self;
        let [client, front] = ends;
        let is_v4 = client.parse::<SocketAddr>()?.is_ipv4();
        let to = match (*by_itself, is_v4) {
            (true, _) => client,
            (false, true) => "192.0.2.1:20000",
            (false, false) => "[2001:db8::1]:20000",
        };
        let packet: Packet = format!("{proto} {pod} > {to} {words}").parse()?;
        let frame = run(node, second, Hook::PodIngress, Verdict::Next, &packet.frame())?;
        let mut frame = run(node, second, Hook::UplinkEgress, Verdict::Next, &frame)?;
        let mut wanted = packet.then(&format!("src={front} dst={client}"))?;
        if !*by_itself {
            frame = run(node, first, Hook::UplinkIngress, Verdict::Redirect, &frame)?;
            wanted.ttl -= 1;
        }
        let wanted = wanted.frame();
        ensure!(frame == wanted, "with the client\n{}", differences(&wanted, &frame));
        Ok(())
    }

    /// A conversation by a load balancer's address and one by a port of the first node.
    fn talk(&mut self, proto: &str) -> anyhow::Result<()> {
        let (client4, client6) = ("198.51.100.7", "[2001:db8:5::7]");
        let (pod4, pod6) = ("10.244.2.7:8080", "[fd00:244:2::7]:8080");
        let [first, answer, next] =
            if proto == "tcp" { ["syn", "syn ack", "ack data=more"] } else { ["data=a", "data=b", "data=c"] };
        for (client, front, pod) in [
            (client4, "203.0.113.9:80", pod4),
            (client6, "[2001:db8:ffff::9]:80", pod6),
            (client4, "192.0.2.1:30080", pod4),
            (client6, "[2001:db8::1]:30080", pod6),
        ] {
            for lab in [&mut self.first, &mut self.second] {
                lab.forget()?;
            }
            let client = format!("{client}:50000");
            for (there, back) in [(first, answer), (next, next), (next, next)] {
                self.there(&format!("{proto} {client} > {front} {there}"), pod)
                    .and_then(|()| self.back(proto, back, pod, [&client, front]))
                    .with_context(|| format!("{proto} {client} > {front}"))?;
            }
        }
        Ok(())
    }
}

#[test]
fn translated_by_the_first_node() -> anyhow::Result<()> {
    let mut way = Way::new(0, false)?;
    way.talk("tcp")?;
    way.talk("udp")
}

#[test]
fn in_ip_to_the_second_node() -> anyhow::Result<()> {
    let mut way = Way::new(DSR_TCP | DSR_UDP, true)?;
    way.talk("tcp")?;
    way.talk("udp")
}

#[test]
fn in_udp_to_the_second_node() -> anyhow::Result<()> {
    let mut way = Way::new(DSR_TCP | DSR_UDP | DSR_GUE, true)?;
    way.talk("tcp")?;
    way.talk("udp")
}

#[test]
fn hybrid_in_ip_for_tcp_and_translated_for_udp() -> anyhow::Result<()> {
    let mut way = Way::new(DSR_TCP, true)?;
    way.talk("tcp")?;
    way.by_itself = false;
    way.talk("udp")
}
