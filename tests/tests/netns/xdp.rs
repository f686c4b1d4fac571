//! Uplinks that take packets in front of the stack: XDP, on veths as well where it is asked for.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData},
    programs::{Xdp, XdpMode},
};
use nix::{net::if_::if_nametoindex, sys::signal::Signal};
use svclb::{
    datapath::{
        object::{BYTECODE, Capacities, shapes},
        pins::Pins,
    },
    sys::ethtool,
};
use svclb_common::layout::map;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, Machine, NODE1, NODE2, POD2, POD3, UPLINK, WIRE, node_of},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::{cleanup::leaves_nothing, reach::reach, restart::under_load, support::world};

const SERVICE: u8 = 150;

/// A program that lets everything pass: it has tables of its own, and nothing in them. Its number
/// as well; it is attached for as long as the first is there.
fn idle(world: &World, namespace: &str, device: String) -> anyhow::Result<(Ebpf, u32)> {
    world.namespace(namespace).run(move || {
        let mut loader = EbpfLoader::new();
        let shapes = shapes(&Capacities::new())?;
        for (name, _) in shapes.iter().filter(|(name, shape)| shape.max_entries > 64 && *name != map::EVENTS)
        {
            loader.map_max_entries(name, 64);
        }
        let mut idle = loader.load(BYTECODE)?;
        let program: &mut Xdp = idle.program_mut("uplink_xdp_page").context("no program")?.try_into()?;
        program.load()?;
        program.attach(&device, XdpMode::Driver)?;
        let id = program.info()?.id();
        Ok((idle, id))
    })?
}

/// Runs a test in a world where the other end of the node's veth is like a wire: frames come with
/// their checksums, and those that drivers send are received, for which it needs a program.
fn wired(body: impl FnOnce(&mut World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    checked(|world| {
        let _program = idle(world, WIRE, format!("to-{}", NODE1.name))?;
        body(world)
    })
}

/// The same, without that program: what the kernel sends is received by any device.
fn checked(body: impl FnOnce(&mut World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    world(|world| {
        let other_end = format!("to-{}", NODE1.name);
        let checksums = world.namespace(WIRE).run(move || ethtool::set_tx_checksum(&other_end, false))?;
        checksums.context("the other end of the uplink")?;
        body(world)
    })
}

/// The devices with XDP programs.
fn attached(world: &World) -> anyhow::Result<Vec<String>> {
    let attached = world.status()?.attached.into_iter().filter(|attached| attached.hook == "xdp");
    Ok(attached.map(|attached| format!("{} {}", attached.device, attached.program)).collect())
}

fn is_attached(world: &World) -> anyhow::Result<()> {
    let found = attached(world)?;
    ensure!(found == [format!("{UPLINK} uplink_xdp")], "{found:?}");
    Ok(())
}

/// An outside client asks by everything that leads in from there, for backends here and elsewhere.
fn outside_is_served(world: &World) -> anyhow::Result<()> {
    for backend in [POD2, POD3] {
        world.publish(&Service::new("near-or-far", SERVICE, &[backend]))?;
        ensure!(world.svclb(&["status", "--wait-synced", "10s"])?.status.success(), "not in sync");
        for frontend in [Frontend::NodePort, Frontend::ExternalIp, Frontend::LoadBalancer] {
            for family in Family::ALL {
                asked(world, frontend, family, &backend)?;
            }
        }
    }
    Ok(())
}

fn asked(world: &World, frontend: Frontend, family: Family, backend: &Machine) -> anyhow::Result<()> {
    let to = frontend.of(SERVICE, family);
    // What another node answers has to come back by this one.
    let seen = if node_of(backend) == NODE1 { CLIENT } else { NODE1 };
    let line = format!("{} {}", backend.name, seen.address(family));
    for mode in Mode::ALL {
        until("the new backend", PATIENCE, || {
            Ok(world.ask(Place::Outside, mode, to, 1)?.pods.contains_key(backend.name).then_some(()))
        })
        .with_context(|| format!("{mode:?} to {frontend:?} {to}, {}", backend.name))?;
        let answers = world.ask(Place::Outside, mode, to, 5)?;
        let is_right = answers.failed() == 0
            && answers.lines.get(&line) == Some(&5)
            && answers.peers.keys().all(|peer| *peer == to.to_string());
        ensure!(is_right, "{mode:?} to {frontend:?} {to}: {answers:?}, expected {line}");
    }
    Ok(())
}

/// Whether the tables have such a backend and no other.
fn has_backend(world: &World, pod: &Machine, family: Family, port: u16) -> anyhow::Result<bool> {
    let output = world.svclb(&["services", "-o", "json"])?;
    let services: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)?;
    let address = pod.address(family).to_string();
    let backends = services.iter().filter_map(|service| service["backends"].as_array()).flatten();
    let ports: Vec<_> = backends
        .filter(|backend| backend["address"] == address.as_str())
        .map(|b| b["port"].clone())
        .collect();
    Ok(!ports.is_empty() && ports.iter().all(|found| *found == port))
}

/// What the client sends, and gets back.
const BYTES: usize = 10 << 20;

/// Sends so much to a pod and back, by a load balancer's address, and compares every byte.
fn transfer(world: &World, pod: &Machine, family: Family) -> anyhow::Result<()> {
    const PORT: u16 = 8090;
    let to = Frontend::LoadBalancer.of(SERVICE, family);
    let text = Service::new("near-or-far", SERVICE, &[*pod]).yaml().replace("8080", &PORT.to_string());
    world.publish_text("near-or-far.yaml", &text)?;
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    let listener = world.namespace(pod.name).run(move || TcpListener::bind(any))??;
    let server = thread::spawn(move || -> std::io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut bytes = vec![0; BYTES];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    });
    until("the other port", PATIENCE, || Ok(has_backend(world, pod, family, PORT)?.then_some(())))?;
    let mut stream = world.namespace(CLIENT.name).run(move || TcpStream::connect(to))??;
    let sent: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8 ^ (at >> 13) as u8).collect();
    stream.write_all(&sent)?;
    let mut got = vec![0; BYTES];
    stream.read_exact(&mut got)?;
    ensure!(got == sent, "other bytes came back");
    server.join().map_err(|_panic| anyhow::anyhow!("the server has panicked"))??;
    Ok(())
}

/// Everything from outside, first with the TC program behind, then without it.
fn serves(world: &World, mode: &str) -> anyhow::Result<()> {
    let agent = Agent::start(world, &["--xdp", mode])?;
    is_attached(world)?;
    outside_is_served(world)?;
    for pod in [POD2, POD3] {
        for family in Family::ALL {
            transfer(world, &pod, family).with_context(|| format!("{} {family:?}", pod.name))?;
        }
    }
    world.publish(&Service::new("near-or-far", SERVICE, &[POD3]))?;
    asked(world, Frontend::NodePort, Family::V4, &POD3)?;
    agent.kill()?;
    let pins = Pins::new(world.bpffs(&NODE1));
    world.namespace(NODE1.name).run(move || -> anyhow::Result<()> {
        let name = format!("tcx_ingress_{}", if_nametoindex(UPLINK)?);
        Ok(fs::remove_file(pins.link(&name))?)
    })??;
    for frontend in [Frontend::NodePort, Frontend::ExternalIp, Frontend::LoadBalancer] {
        for family in Family::ALL {
            asked(world, frontend, family, &POD3).context("with nothing behind the XDP program")?;
        }
    }
    Ok(())
}

#[test]
fn drivers_carry_what_comes_from_outside() -> anyhow::Result<()> {
    wired(|world| serves(world, "native"))
}

#[test]
fn the_kernel_translates_for_backends_here_in_front_of_the_stack() -> anyhow::Result<()> {
    checked(|world| {
        world.publish(&Service::new("near-or-far", SERVICE, &[POD2]))?;
        let _agent = Agent::start(world, &["--xdp", "generic"])?;
        is_attached(world)?;
        for frontend in [Frontend::NodePort, Frontend::ExternalIp, Frontend::LoadBalancer] {
            for family in Family::ALL {
                asked(world, frontend, family, &POD2)?;
            }
        }
        Ok(())
    })
}

#[test]
fn everybody_reaches_everything_beside_it() -> anyhow::Result<()> {
    wired(|world| reach(world, &["--xdp", "native", "--socket-lb", "off"]))
}

#[test]
fn a_kill_is_not_noticed_by_frames() -> anyhow::Result<()> {
    wired(|world| under_load(world, Signal::SIGKILL, &["--xdp", "native", "--socket-lb", "off"]))
}

#[cfg(target_arch = "x86_64")]
#[test]
fn frames_do_not_notice_an_upgrade() -> anyhow::Result<()> {
    wired(|world| {
        let flags = ["--xdp", "native", "--socket-lb", "off"];
        crate::upgrade::is_carried(world, &flags, Signal::SIGKILL)?;
        is_attached(world)
    })
}

#[test]
fn a_restart_replaces_the_program_in_place() -> anyhow::Result<()> {
    wired(|world| {
        let pin = world.namespace(NODE1.name).run(|| if_nametoindex(UPLINK))??;
        let pin = format!("xdp_native_{pin}");
        Agent::start(world, &["--xdp", "native"])?.kill()?;
        let (link, program) = world.loaded()?.links[&pin];
        let next = Agent::start(world, &["--xdp", "native"])?;
        let (link_now, program_now) = world.loaded()?.links[&pin];
        ensure!(link == link_now && program != program_now, "the same link with another program");
        next.kill()?;
        // Another hook is another link, and no hook is none.
        let generic = Agent::start(world, &["--xdp", "generic"])?;
        is_attached(world)?;
        ensure!(!world.loaded()?.links.contains_key(&pin), "the old link");
        generic.kill()?;
        let _off = Agent::start(world, &["--xdp", "off"])?;
        ensure!(attached(world)?.is_empty(), "{:?}", attached(world)?);
        Ok(())
    })
}

/// How often the agent has told the programs that ways have changed.
fn changes(world: &World) -> anyhow::Result<u32> {
    let pin = Pins::new(world.bpffs(&NODE1)).map(map::ROUTES);
    world.namespace(NODE1.name).run(move || {
        let array = Array::<_, u32>::try_from(Map::Array(MapData::from_pin(pin)?))?;
        Ok(array.get(&0, 0)?)
    })?
}

/// Where frames of a connection go is remembered; a next hop that gets another link address is
/// heard of.
#[test]
fn a_next_hop_that_moves_is_followed() -> anyhow::Result<()> {
    const PORT: u16 = 8091;
    const MOVED: &str = "02:00:00:00:00:99";
    wired(|world| {
        let text = Service::new("near-or-far", SERVICE, &[POD3]).yaml().replace("8080", &PORT.to_string());
        world.publish_text("near-or-far.yaml", &text)?;
        let _agent = Agent::start(world, &["--xdp", "native"])?;
        is_attached(world)?;
        for family in Family::ALL {
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
            let listener = world.namespace(POD3.name).run(move || TcpListener::bind(any))??;
            let server = thread::spawn(move || -> std::io::Result<u64> {
                let (mut stream, _) = listener.accept()?;
                let mut back = stream.try_clone()?;
                std::io::copy(&mut stream, &mut back)
            });
            let to = Frontend::NodePort.of(SERVICE, family);
            let mut stream = world.namespace(CLIENT.name).run(move || TcpStream::connect(to))??;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut line = [0; 4];
            for (round, mac) in [None, Some(MOVED)].into_iter().enumerate() {
                if let Some(mac) = mac {
                    let before = changes(world)?;
                    world.ip(NODE2.name, &format!("link set dev {UPLINK} address {mac}"))?;
                    let neighbour = NODE2.address(family);
                    world.ip(NODE1.name, &format!("neigh replace {neighbour} lladdr {mac} dev {UPLINK}"))?;
                    until("the agent's word", PATIENCE, || Ok((changes(world)? != before).then_some(())))?;
                }
                for _ in 0..10 {
                    stream.write_all(b"ping").with_context(|| format!("{family:?} {round}"))?;
                    stream.read_exact(&mut line).with_context(|| format!("{family:?} {round}"))?;
                }
            }
            drop(stream);
            server.join().map_err(|_panic| anyhow::anyhow!("the server has panicked"))??;
            world.ip(NODE2.name, &format!("link set dev {UPLINK} address 02:00:00:00:00:98"))?;
            for family in Family::ALL {
                let neighbour = NODE2.address(family);
                world.ip(
                    NODE1.name,
                    &format!("neigh replace {neighbour} lladdr 02:00:00:00:00:98 dev {UPLINK}"),
                )?;
            }
        }
        Ok(())
    })
}

#[test]
fn nothing_is_left_of_it() -> anyhow::Result<()> {
    wired(|world| leaves_nothing(world, &["--xdp", "native"]))
}

#[test]
fn a_veth_is_left_alone_unless_asked_for() -> anyhow::Result<()> {
    world(|world| {
        let agent = Agent::start(world, &[])?;
        ensure!(attached(world)?.is_empty(), "{:?}", attached(world)?);
        let log = agent.log().text();
        ensure!(log.contains("eth0: no XDP: a veth with XDP merges no packets"), "{log}");
        for (flag, expected) in [
            (&["check"][..], "off: a veth with XDP merges no packets"),
            (&["check", "--xdp", "generic"], "generic"),
        ] {
            let told = world.svclb(flag)?;
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            let line = told.lines().find(|line| line.contains("xdp eth0")).unwrap_or_default();
            ensure!(line.contains(expected), "{flag:?}: {told}");
        }
        Ok(())
    })
}

#[test]
fn a_program_of_another_stays_and_is_told_of() -> anyhow::Result<()> {
    wired(|world| {
        let (_other, id) = idle(world, NODE1.name, UPLINK.into())?;
        let running = || -> anyhow::Result<bool> {
            let shown = world.run(Place::Host, "ip", &["-details", "link", "show", UPLINK])?;
            Ok(String::from_utf8_lossy(&shown.stdout).contains(&format!("prog/xdp id {id} ")))
        };
        ensure!(running()?, "the program of another is not there");
        for mode in ["auto", "native", "generic"] {
            let agent = Agent::start(world, &["--xdp", mode])?;
            ensure!(attached(world)?.is_empty(), "{mode}: {:?}", attached(world)?);
            let log = agent.log().text();
            let told = format!("eth0: no XDP: another program runs there (number {id})");
            ensure!(log.contains(&told), "{mode}: {log}");
            ensure!(running()?, "{mode}: the program of another is gone");
            ensure!(agent.terminate()?.success());
        }
        Ok(())
    })
}
