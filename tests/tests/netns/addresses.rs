//! Addresses: where node ports answer, and what no Service answers.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3, node_port},
    manifest::Service,
    wait::{PATIENCE, PROMISE, here, until},
};

use crate::support::world;

const SERVICE: u8 = 110;

/// An address of the node beside its first one, on the device of the first.
const SECOND: &str = "192.0.2.211";

/// Where Services have their addresses.
const RANGE: &str = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: { name: kubernetes }\n\
                     spec: { cidrs: [\"10.96.0.0/16\", \"fd00:10:96::/112\"] }\n";

fn answered(world: &World, place: Place, to: std::net::SocketAddr) -> anyhow::Result<bool> {
    Ok(world.ask(place, Mode::Tcp, to, 1)?.answered() == 1)
}

fn node_ports(world: &World, flags: &[&str], second: bool, loopback: bool) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD2]))?;
    let _agent = Agent::start(world, flags)?;
    let port = node_port(SERVICE);
    let second_address = (SECOND.parse::<std::net::IpAddr>()?, port).into();
    for place in [Place::Host, Place::Pod(POD1), Place::Outside] {
        for family in Family::ALL {
            let first = Frontend::NodePort.of(SERVICE, family);
            ensure!(answered(world, place, first)?, "{flags:?} {place:?} {first}");
        }
        let found = answered(world, place, second_address)?;
        ensure!(found == second, "{flags:?} {place:?} {second_address}: answered {found}");
    }
    let at = Frontend::NodePortOnLoopback.of(SERVICE, Family::V4);
    let found = answered(world, Place::Host, at)?;
    ensure!(found == loopback, "{flags:?} {at}: answered {found}");
    Ok(())
}

#[test]
fn node_ports_answer_on_the_addresses_that_are_chosen() -> anyhow::Result<()> {
    world(|world| {
        world.ip(NODE1.name, &format!("address add {SECOND}/24 dev eth0\n"))?;
        let node = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{ name: node1 }}\nstatus:\n  addresses: [{{ type: InternalIP, \
             address: \"{}\" }}, {{ type: InternalIP, address: \"{}\" }}]\n",
            NODE1.v4, NODE1.v6
        );
        world.publish_text("node.yaml", &node)?;
        let only = format!("{}/32", NODE1.v4);
        for socket_lb in ["all", "off"] {
            let base = ["--socket-lb", socket_lb];
            node_ports(world, &base, true, true)?;
            let chosen = [&base[..], &["--nodeport-addresses", "192.0.2.0/24"]].concat();
            node_ports(world, &chosen, true, false)?;
            let chosen = [&base[..], &["--nodeport-addresses", &only]].concat();
            node_ports(world, &chosen, false, false)?;
            let chosen = [&base[..], &["--nodeport-addresses", "primary"]].concat();
            node_ports(world, &chosen, false, false)?;
        }
        Ok(())
    })
}

fn unallocated(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD2, POD3]))?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let vip = Frontend::ClusterIp.of(SERVICE, Family::V4);
    for place in [Place::Pod(POD1), Place::Host] {
        for family in Family::ALL {
            // A port that the Service does not have.
            let mut wrong = Frontend::ClusterIp.of(SERVICE, family);
            wrong.set_port(81);
            // Where sockets are translated, connect() of a datagram socket of the host stays possible: resolvers
            // try addresses so (RFC 6724), and send nothing.
            let datagrams = if place == Place::Host && socket_lb == "all" { Mode::SendTo } else { Mode::Udp };
            for mode in [Mode::Tcp, datagrams] {
                let answers = world.ask(place, mode, wrong, 1)?;
                ensure!(answers.errors.contains_key("ECONNREFUSED"), "{place:?} {wrong}: {answers:?}");
            }
        }
    }
    // A range that comes while the agent runs: what nobody has in it leads nowhere.
    world.publish_text("range.yaml", RANGE)?;
    let free = "10.96.77.77:80".parse()?;
    let before = world.drops("unallocated_vip")?;
    until("a range in force", PROMISE, || {
        world.ask(Place::Pod(POD1), Mode::Tcp, free, 1)?;
        Ok((world.drops("unallocated_vip")? > before).then_some(()))
    })?;
    ensure!(answered(world, Place::Pod(POD1), vip)?, "a Service in the range still answers");
    Ok(())
}

#[test]
fn addresses_of_nobody_are_packets_to_nowhere() -> anyhow::Result<()> {
    world(|world| unallocated(world, "off"))
}

#[test]
fn addresses_of_nobody_are_sockets_to_nowhere() -> anyhow::Result<()> {
    world(|world| unallocated(world, "all"))
}

/// An address that comes while the agent runs, and goes again.
fn follows(world: &World, flags: &[&str]) -> anyhow::Result<()> {
    world.publish(&Service::new("ports", SERVICE, &[POD2]))?;
    let _agent = Agent::start(world, flags)?;
    let to = (SECOND.parse::<std::net::IpAddr>()?, node_port(SERVICE)).into();
    let first = Frontend::NodePort.of(SERVICE, Family::V4);
    for place in [Place::Host, Place::Pod(POD1), Place::Outside] {
        // The node's own stack knows sooner that the address has gone than the agent does.
        until("an address of nobody's", PROMISE, || Ok((!answered(world, place, to)?).then_some(())))?;
        for is_there in [true, false] {
            let what = if is_there { "add" } else { "delete" };
            world.ip(NODE1.name, &format!("address {what} {SECOND}/24 dev eth0\n"))?;
            until(what, PROMISE, || Ok((answered(world, place, to)? == is_there).then_some(())))?;
            ensure!(answered(world, place, first)?, "{flags:?} {place:?}: the first address stays");
        }
    }
    Ok(())
}

#[test]
fn node_ports_follow_the_nodes_addresses() -> anyhow::Result<()> {
    world(|world| follows(world, &["--socket-lb", "off"]))?;
    world(|world| follows(world, &["--socket-lb", "all"]))
}

#[test]
fn a_node_without_ipv6_serves_ipv4() -> anyhow::Result<()> {
    world(|world| {
        world.namespace(NODE1.name).sysctl(&[("ipv6/conf/all/disable_ipv6", "1")])?;
        world.publish(&Service::new("ports", SERVICE, &[POD2, POD3]))?;
        for socket_lb in ["all", "off"] {
            let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
            for (place, frontends) in [
                (Place::Host, &[Frontend::ClusterIp, Frontend::NodePortOnLoopback][..]),
                (Place::Pod(POD1), &[Frontend::ClusterIp, Frontend::NodePort]),
                (Place::Outside, &[Frontend::NodePort, Frontend::LoadBalancer]),
            ] {
                for frontend in frontends {
                    let to = frontend.of(SERVICE, Family::V4);
                    for mode in Mode::ALL {
                        let answers = world.ask(place, mode, to, 4)?;
                        ensure!(answers.answered() == 4, "{socket_lb} {place:?} {to} {mode:?}: {answers:?}");
                    }
                }
            }
        }
        Ok(())
    })
}

/// What the kernel has loaded, and the ports of all sockets of the node.
fn modules_and_ports(world: &World) -> anyhow::Result<(bool, Vec<u16>)> {
    world.namespace(NODE1.name).run(|| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/{file}"));
        let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let mut ports = Vec::new();
        for table in ["net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/raw", "net/raw6"] {
            // `sl: <address>:<port> …`, in hexadecimal (proc(5)).
            ports.extend(read(table)?.lines().skip(1).filter_map(|line| {
                let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
                u16::from_str_radix(port, 16).ok()
            }));
        }
        Ok((modules.lines().any(|line| line.starts_with("sctp ")), ports))
    })?
}

#[test]
fn no_socket_listens_on_a_node_port_and_no_module_is_loaded() -> anyhow::Result<()> {
    world(|world| {
        let (had_sctp, _) = modules_and_ports(world)?;
        let port = node_port(SERVICE);
        let sctp = format!(
            "    - {{ name: sctp, protocol: SCTP, port: 5060, targetPort: 5060, nodePort: {port} }}\nstatus:\n"
        );
        let text = Service::new("ports", SERVICE, &[POD2]).yaml().replacen("status:\n", &sctp, 1);
        world.publish_text("ports.yaml", &text)?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        ensure!(answered(world, Place::Outside, Frontend::NodePort.of(SERVICE, Family::V4))?, "it serves");
        let (has_sctp, ports) = modules_and_ports(world)?;
        ensure!(has_sctp == had_sctp, "the sctp module came");
        // The agent's own are those of health and metrics.
        ensure!(!ports.is_empty() && !ports.contains(&port), "{port} is among {ports:?}");
        Ok(())
    })
}

/// A connection begun before its Service was there is made by a later SYN: from a pod in any case, from the host where
/// its packets are translated.
#[test]
fn a_connection_begun_before_its_service_is_made() -> anyhow::Result<()> {
    world(|world| {
        world.publish_text("range.yaml", RANGE)?;
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let patience = here(PATIENCE).as_secs().to_string();
        let begin = |place, family| {
            let url = format!("http://{}/", Frontend::ClusterIp.of(SERVICE, family));
            world.start(place, "curl", &["--silent", "--globoff", "--fail", "--max-time", &patience, &url])
        };
        let mut begun = Vec::new();
        for place in [Place::Pod(POD1), Place::Host] {
            for family in Family::ALL {
                let before = world.drops("unallocated_vip")?;
                begun.push((place, family, begin(place, family)?));
                until("a SYN to nobody", PATIENCE, || {
                    Ok((world.drops("unallocated_vip")? > before).then_some(()))
                })?;
            }
        }
        world.publish(&Service::new("ports", SERVICE, &[POD2]))?;
        for (place, family, mut command) in begun {
            let status = command.wait()?;
            ensure!(status.success(), "{place:?} {family:?}: {status}\n{}", agent.log().text());
        }
        Ok(())
    })
}
