//! ICMP errors about translated packets: a link in the middle that carries less, and ports that
//! nobody listens on.

use std::fmt::Write as _;

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, Machine, NODE1, NODE2, POD1, POD2, POD3, ROUTER, UPLINK, WIRE},
    process::Process,
};

use crate::{files, support::world};

/// What the narrow link carries.
const NARROW: u32 = 1300;

/// Sends everything by the router between the machines, whose links to `pairs` carry [`NARROW`] bytes: a machine
/// and what is behind it.
fn narrow(world: &World, pairs: &[(Machine, &[&str])]) -> anyhow::Result<()> {
    narrow_to(world, NARROW, pairs)
}

/// The same of links that carry `mtu` bytes.
fn narrow_to(world: &World, mtu: u32, pairs: &[(Machine, &[&str])]) -> anyhow::Result<()> {
    world.namespace(WIRE).sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/wire/send_redirects", "0"),
    ])?;
    let mut wire = String::new();
    for (machine, behind) in pairs {
        world.namespace(machine.name).sysctl(&[
            ("ipv4/conf/all/accept_redirects", "0"),
            ("ipv6/conf/all/accept_redirects", "0"),
            ("ipv6/conf/eth0/accept_redirects", "0"),
        ])?;
        writeln!(wire, "route replace {}/32 dev wire mtu lock {mtu}", machine.v4)?;
        writeln!(wire, "route replace {}/128 dev wire mtu lock {mtu}", machine.v6)?;
        for range in *behind {
            let via = if range.contains(':') { machine.v6.to_string() } else { machine.v4.to_string() };
            writeln!(wire, "route replace {range} via {via} dev wire mtu lock {mtu}")?;
        }
        let mut script = String::new();
        for (_, ranges) in pairs.iter().filter(|(other, _)| other != machine) {
            for range in *ranges {
                let via = if range.contains(':') { ROUTER.v6.to_string() } else { ROUTER.v4.to_string() };
                writeln!(script, "route replace {range} via {via} dev {UPLINK}")?;
            }
        }
        for (other, _) in pairs.iter().filter(|(other, _)| other != machine) {
            writeln!(script, "route replace {}/32 via {} dev {UPLINK}", other.v4, ROUTER.v4)?;
            writeln!(script, "route replace {}/128 via {} dev {UPLINK}", other.v6, ROUTER.v6)?;
        }
        world.ip(machine.name, &script)?;
    }
    world.ip(WIRE, &wire)
}

const NEAR: u8 = 150;
const FAR: u8 = 151;
const SILENT: u8 = 152;

fn begin(world: &World) -> anyhow::Result<(Agent, [Process; 2])> {
    world.publish_text("near.yaml", &files::service("near", NEAR, &[POD1], files::PORT))?;
    world.publish_text("far.yaml", &files::service("far", FAR, &[POD3], files::PORT))?;
    let servers = [files::serve(world, POD1)?, files::serve(world, POD3)?];
    let agent = Agent::start(world, &["--socket-lb", "off"])?;
    Ok((agent, servers))
}

#[test]
fn a_narrow_link_to_an_outside_client_is_found() -> anyhow::Result<()> {
    world(|world| {
        let services = ["198.51.100.0/24", "203.0.113.0/24", "2001:db8:2::/64", "2001:db8:3::/64"];
        narrow(world, &[(CLIENT, &[]), (NODE1, &services)])?;
        let _running = begin(world)?;
        for number in [NEAR, FAR] {
            for family in Family::ALL {
                let to = Frontend::LoadBalancer.of(number, family);
                files::ready(world, Place::Outside, to)?;
                files::transfer(world, Place::Outside, to)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_narrow_link_between_nodes_is_found() -> anyhow::Result<()> {
    world(|world| {
        let (pods1, pods2) =
            (["10.244.1.0/24", "fd00:10:244:1::/64"], ["10.244.2.0/24", "fd00:10:244:2::/64"]);
        narrow(world, &[(NODE1, &pods1), (NODE2, &pods2)])?;
        let _running = begin(world)?;
        for family in Family::ALL {
            for (place, frontend) in [
                (Place::Pod(POD2), Frontend::ClusterIp),
                (Place::Host, Frontend::ClusterIp),
                (Place::Outside, Frontend::LoadBalancer),
            ] {
                let to = frontend.of(FAR, family);
                files::ready(world, place, to)?;
                files::transfer(world, place, to)?;
            }
        }
        Ok(())
    })
}

/// What errors about answers and about outer packets need: agents of both nodes, and a backend that answers
/// a client of the first one by itself.
fn transfers_by_itself(world: &World, encapsulation: &str) -> anyhow::Result<()> {
    let flags = ["--external-mode", "dsr", "--dsr-encapsulation", encapsulation];
    world.publish_text("far.yaml", &files::service("far", FAR, &[POD3], files::PORT))?;
    let _server = files::serve(world, POD3)?;
    let _agents = [Agent::start_on(world, &NODE1, &flags)?, Agent::start_on(world, &NODE2, &flags)?];
    for family in Family::ALL {
        let to = Frontend::LoadBalancer.of(FAR, family);
        files::ready(world, Place::Outside, to)?;
        files::transfer(world, Place::Outside, to)?;
    }
    Ok(())
}

/// A narrow link to the client, which the backend hears of through the node that the client sends to.
fn narrow_client(encapsulation: &str) -> anyhow::Result<()> {
    world(|world| {
        let services = ["198.51.100.0/24", "203.0.113.0/24", "2001:db8:2::/64", "2001:db8:3::/64"];
        narrow(world, &[(CLIENT, &[]), (NODE1, &services), (NODE2, &[])])?;
        transfers_by_itself(world, encapsulation)
    })
}

/// A narrow link to the backend, which the client hears of, without a word of outer headers.
fn narrow_backend(encapsulation: &str) -> anyhow::Result<()> {
    /// Room for 1280 bytes of IPv6 and the outer headers, which every way must have.
    const ROOMY: u32 = 1400;
    world(|world| {
        let (pods1, pods2) =
            (["10.244.1.0/24", "fd00:10:244:1::/64"], ["10.244.2.0/24", "fd00:10:244:2::/64"]);
        narrow_to(world, ROOMY, &[(NODE1, &pods1), (NODE2, &pods2)])?;
        transfers_by_itself(world, encapsulation)
    })
}

#[test]
fn a_backend_that_answers_by_itself_hears_of_a_narrow_link_in_ip() -> anyhow::Result<()> {
    narrow_client("ipip")
}

#[test]
fn a_backend_that_answers_by_itself_hears_of_a_narrow_link_in_udp() -> anyhow::Result<()> {
    narrow_client("gue")
}

#[test]
fn a_client_hears_of_a_narrow_link_between_nodes_in_ip() -> anyhow::Result<()> {
    narrow_backend("ipip")
}

#[test]
fn a_client_hears_of_a_narrow_link_between_nodes_in_udp() -> anyhow::Result<()> {
    narrow_backend("gue")
}

#[test]
fn a_closed_port_behind_a_service_is_told_at_once() -> anyhow::Result<()> {
    const REQUESTS: u32 = 2;
    world(|world| {
        for (name, number, pod) in [("near", NEAR, POD1), ("silent", SILENT, POD3)] {
            world.publish_text(&format!("{name}.yaml"), &files::service(name, number, &[pod], 9))?;
        }
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        for number in [NEAR, SILENT] {
            for (place, frontend) in [
                (Place::Pod(POD2), Frontend::ClusterIp),
                (Place::Host, Frontend::ClusterIp),
                (Place::Outside, Frontend::LoadBalancer),
            ] {
                for family in Family::ALL {
                    let to = frontend.of(number, family);
                    let answers = world.ask(place, Mode::Udp, to, REQUESTS)?;
                    let refused = answers.errors.get("ECONNREFUSED").copied().unwrap_or(0);
                    ensure!(refused == REQUESTS, "{place:?} {to}: {answers:?}\n{}", agent.log().text());
                }
            }
        }
        Ok(())
    })
}
