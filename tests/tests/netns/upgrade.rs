//! An agent of another layout takes over, or refuses and changes nothing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use svclb::{
    datapath::{
        counters::{TrafficMap, drops},
        pins::Pins,
    },
    model::Family as ModelFamily,
};
use svclb_common::layout::LAYOUT_VERSION;
use svclb_tests::{
    netns::{
        Agent, Place, World,
        client::{Held, Load, Mode},
        layout::{Family, Frontend, NODE1, POD1, POD2, POD3, POD4},
        manifest::Service,
        older::V5,
        wait::{PATIENCE, until},
    },
    probe::Answers,
};

use crate::support::world;

/// A Service whose backend is on the node, one whose backend is not, one with several, and one that clients come back to.
const NEAR: u8 = 61;
const FAR: u8 = 62;
const MANY: u8 = 65;
const STICKY: u8 = 63;

pub(crate) fn publish(world: &World) -> anyhow::Result<()> {
    world.publish(&Service::new("near", NEAR, &[POD2]))?;
    world.publish(&Service::new("far", FAR, &[POD3]))?;
    world.publish(&Service::new("many", MANY, &[POD2, POD3, POD4]))?;
    let sticky = Service::new("sticky", STICKY, &[POD2, POD3, POD4]);
    world.publish(&sticky.spec("sessionAffinity: ClientIP"))
}

/// Of some thousand short connections that a client makes, so many may fail: those that begin while programs of two
/// layouts stand side by side. Who is connected already never does.
const STUMBLES: u32 = 2;

/// Connections and datagram sockets of every kind of client, with what they were answered.
pub(crate) struct Live {
    clients: Vec<(String, Held, Answers)>,
}

impl Live {
    pub(crate) fn open(world: &World) -> anyhow::Result<Self> {
        let mut live = Self { clients: Vec::new() };
        for family in Family::ALL {
            for service in [NEAR, FAR, MANY, STICKY] {
                for (place, frontend) in [
                    (Place::Pod(POD1), Frontend::ClusterIp),
                    (Place::Host, Frontend::ClusterIp),
                    (Place::Outside, Frontend::NodePort),
                    (Place::Outside, Frontend::LoadBalancer),
                ] {
                    let to = frontend.of(service, family);
                    let name = format!("{place:?} {frontend:?} {to}");
                    live.add(format!("TCP {name}"), world.hold(place, to)?)?;
                    live.add(format!("UDP {name}"), world.hold_udp(place, to)?)?;
                }
            }
            // A pod that reaches itself.
            let itself = Frontend::ClusterIp.of(NEAR, family);
            live.add(format!("TCP itself {itself}"), world.hold(Place::Pod(POD2), itself)?)?;
        }
        Ok(live)
    }

    fn add(&mut self, name: String, mut client: Held) -> anyhow::Result<()> {
        let answers = client.ask().with_context(|| name.clone())?;
        ensure!(answers.answered() == 1, "{name}: {answers:?}");
        self.clients.push((name, client, answers));
        Ok(())
    }

    /// All of them ask again, and hear what they have heard before.
    pub(crate) fn ask(&mut self, when: &str) -> anyhow::Result<()> {
        let mut wrong = BTreeMap::new();
        for (name, client, before) in &mut self.clients {
            let answers = client.ask().with_context(|| format!("{when}: {name}"))?;
            if answers != *before {
                wrong.insert(name.clone(), format!("{before:?}, then {answers:?}"));
            }
        }
        ensure!(wrong.is_empty(), "{when}: {wrong:#?}");
        Ok(())
    }
}

/// Clients that ask without pause.
fn loads(world: &World) -> anyhow::Result<Vec<(String, Load)>> {
    let mut loads = Vec::new();
    for (place, mode, frontend, service, family) in [
        (Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp, FAR, Family::V4),
        (Place::Host, Mode::Tcp, Frontend::ClusterIp, MANY, Family::V6),
        (Place::Outside, Mode::Tcp, Frontend::NodePort, FAR, Family::V4),
        (Place::Outside, Mode::Udp, Frontend::LoadBalancer, NEAR, Family::V6),
        (Place::Pod(POD1), Mode::SendTo, Frontend::ClusterIp, STICKY, Family::V4),
    ] {
        let to = frontend.of(service, family);
        loads.push((format!("{place:?} {mode:?} {to}"), world.load(place, mode, to)?));
    }
    Ok(loads)
}

/// What the agent of the first node has counted: flows, packets, drops.
fn counted(world: &World, layout: u32) -> anyhow::Result<[u64; 3]> {
    let pins = Pins::new(world.bpffs(&NODE1)).at(layout);
    world.namespace(NODE1.name).run(move || -> anyhow::Result<[u64; 3]> {
        let mut counted = [0, 0, drops(&pins)?.values().sum()];
        for family in ModelFamily::ALL {
            let traffic = TrafficMap::open(&pins, family)?;
            for service in 0..64 {
                let found = traffic.of(service)?;
                counted[0] += found.flows;
                counted[1] += found.packets;
            }
        }
        Ok(counted)
    })?
}

pub(crate) fn older_pins(world: &World) -> Pins {
    Pins::new(world.bpffs(&NODE1)).at(V5.layout)
}

/// Nothing of the older layout is there, neither pinned nor attached.
pub(crate) fn is_gone(world: &World) -> anyhow::Result<()> {
    let older = older_pins(world).layout();
    let left: Vec<PathBuf> = world.pinned()?.into_iter().filter(|path| path.starts_with(&older)).collect();
    ensure!(left.is_empty(), "still pinned: {left:?}");
    for device in ["veth-pod1", "eth0"] {
        for side in ["ingress", "egress"] {
            let filters = world.tc(&format!("filter show dev {device} {side}"))?;
            let count = filters.lines().filter(|line| line.contains("direct-action")).count();
            ensure!(count <= 1, "{device} {side}: {filters}");
        }
    }
    Ok(())
}

/// Clients of every kind go on while this build takes over from the older one.
pub(crate) fn is_carried(world: &World, flags: &[&str], signal: Signal) -> anyhow::Result<()> {
    publish(world)?;
    let older = Agent::start_other(world, &V5.unpack(world)?, flags)?;
    let mut live = Live::open(world)?;
    let loads = loads(world)?;
    live.ask("under the older agent")?;
    let loaded = world.loaded_by(older_pins(world))?;
    let before = counted(world, V5.layout)?;
    ensure!(before[0] > 20 && before[1] > 100 && !loaded.programs.is_empty(), "{before:?} {loaded:?}");

    if signal == Signal::SIGKILL {
        older.kill()?;
    } else {
        ensure!(older.terminate()?.success());
    }
    live.ask("without an agent")?;
    let agent = Agent::start(world, flags)?;
    live.ask("under the next agent")?;
    for (name, load) in loads {
        let answers = load.finish()?;
        ensure!(
            answers.failed() <= STUMBLES && answers.answered() > 20,
            "{name}: {answers:?}\n{}",
            agent.log().text()
        );
    }
    let after = counted(world, LAYOUT_VERSION)?;
    ensure!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?}, then {after:?}");
    is_gone(world)?;
    ensure!(world.drops("no_route")? == 0, "drops: {:?}", world.status()?.drops);
    until("the end of the older programs", PATIENCE, || {
        Ok(loaded.remaining()?.programs.is_empty().then_some(()))
    })?;
    live.ask("when the older programs are gone")?;

    // Another agent finds nothing to do.
    agent.kill()?;
    let _next = Agent::start(world, flags)?;
    ensure!(world.status()?.writes == 0, "{} writes for nothing new", world.status()?.writes);
    live.ask("under the agent after that")
}

#[test]
fn packets_do_not_notice_an_upgrade() -> anyhow::Result<()> {
    world(|world| is_carried(world, &["--socket-lb", "off"], Signal::SIGKILL))
}

#[test]
fn sockets_do_not_notice_an_upgrade() -> anyhow::Result<()> {
    world(|world| is_carried(world, &["--socket-lb", "all"], Signal::SIGTERM))
}

#[test]
fn filters_of_clsact_do_not_notice_an_upgrade() -> anyhow::Result<()> {
    world(|world| is_carried(world, &["--tc", "clsact", "--socket-lb", "off"], Signal::SIGKILL))
}

#[test]
fn cleanup_removes_what_an_older_agent_has_left() -> anyhow::Result<()> {
    for flags in [&["--socket-lb", "all"][..], &["--tc", "clsact", "--socket-lb", "off"]] {
        world(|world| {
            publish(world)?;
            let older = Agent::start_other(world, &V5.unpack(world)?, flags)?;
            let loaded = world.loaded_by(older_pins(world))?;
            older.kill()?;
            let cleanup = world.svclb(&["cleanup"])?;
            ensure!(cleanup.status.success(), "{cleanup:?}");
            ensure!(world.pinned()?.is_empty(), "still pinned: {:?}", world.pinned()?);
            let qdiscs = world.tc("qdisc show")?;
            ensure!(!qdiscs.contains("clsact"), "{qdiscs}");
            until("an empty kernel", PATIENCE, || {
                let remaining = loaded.remaining()?;
                Ok((remaining.maps.is_empty() && remaining.programs.is_empty()).then_some(()))
            })?;
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn reports_say_whose_tables_there_are() -> anyhow::Result<()> {
    world(|world| {
        publish(world)?;
        let older = Agent::start_other(world, &V5.unpack(world)?, &[])?;
        for report in ["status", "services", "flows"] {
            let output = world.svclb(&[report])?;
            let line = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.code() == Some(1) && line.lines().count() == 1, "{report}: {output:?}");
            ensure!(line.contains("has layout 5, and this svclb layout"), "{report}: {line}");
        }
        older.kill()
    })
}

/// Layouts that are pinned beside this one or instead of it, and what an agent says to them.
#[test]
fn an_agent_refuses_what_it_cannot_take_over_and_changes_nothing() -> anyhow::Result<()> {
    let table = [
        ("v99", true, "has layout 99, newer than this svclb's"),
        ("v99", false, "has layout 99, newer than this svclb's"),
        ("v4", false, "has layout 4, whose flows this svclb"),
    ];
    for (folder, beside, complaint) in table {
        world(|world| {
            publish(world)?;
            if beside {
                Agent::start(world, &["--socket-lb", "off"])?.kill()?;
            }
            let staged = world.bpffs(&NODE1).join(folder).join("maps");
            world.namespace(NODE1.name).run(move || fs::create_dir_all(staged))??;
            let pinned = world.pinned()?;
            let agent = Agent::launch(world, &NODE1, &["--socket-lb", "off"])?;
            let log = agent.log();
            let status = agent.wait()?;
            let lines = log.text();
            let told: Vec<_> = lines.lines().filter(|line| line.starts_with("svclb: ")).collect();
            ensure!(status.code() == Some(1), "{folder}: {status}: {lines}");
            ensure!(told.len() == 1 && told[0].contains(complaint), "{folder}: {lines}");
            ensure!(world.pinned()? == pinned, "{folder}: was {pinned:?}, is {:?}", world.pinned()?);
            Ok(())
        })?;
    }
    Ok(())
}
