//! Direct server return between two nodes: backends that answer an outside client by themselves.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{CLIENT, Family, Frontend, NODE1, NODE2, POD3},
    manifest::Service,
};

use crate::{files, support::world};

const SERVICE: u8 = 150;
const FILES: u8 = 151;

/// What a pod sees of the client: its own address, or that of the node that it sent to.
fn seen(by_itself: bool, family: Family) -> String {
    let machine = if by_itself { CLIENT } else { NODE1 };
    format!("{} {}", POD3.name, machine.address(family))
}

/// Asks by every frontend for outside clients, in every way.
fn asks(world: &World, flags: &[&str], tunnels: impl Fn(Mode) -> bool) -> anyhow::Result<()> {
    world.publish(&Service::new("far", SERVICE, &[POD3]))?;
    let agents = [Agent::start_on(world, &NODE1, flags)?, Agent::start_on(world, &NODE2, flags)?];
    for frontend in [Frontend::NodePort, Frontend::LoadBalancer, Frontend::ExternalIp] {
        for family in Family::ALL {
            for mode in Mode::ALL {
                let to = frontend.of(SERVICE, family);
                let answers = world.ask(Place::Outside, mode, to, 4)?;
                let is_right = answers.lines.get(&seen(tunnels(mode), family)) == Some(&4)
                    && answers.peers.keys().all(|peer| *peer == to.to_string());
                let logs = agents.each_ref().map(|agent| agent.log().text());
                ensure!(is_right, "{mode:?} {to} {flags:?}: {answers:?}\n{logs:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_backends_node_answers_by_itself() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "dsr"], |_mode| true))
}

#[test]
fn packets_travel_in_udp_where_that_is_asked_for() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "dsr", "--dsr-encapsulation", "gue"], |_mode| true))
}

#[test]
fn hybrid_is_for_tcp_alone() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "hybrid"], |mode| mode == Mode::Tcp))
}

#[test]
fn agents_of_either_node_restart_under_open_connections() -> anyhow::Result<()> {
    world(|world| {
        let flags = ["--external-mode", "dsr"];
        world.publish(&Service::new("far", SERVICE, &[POD3]))?;
        let mut agents = [NODE1, NODE2].map(|node| (node, Some(Agent::start_on(world, &node, &flags))));
        let mut held = Family::ALL
            .map(|family| world.hold(Place::Outside, Frontend::LoadBalancer.of(SERVICE, family)))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let before = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(before.iter().all(|answers| answers.answered() == 1), "{before:?}");
        for (node, agent) in &mut agents {
            agent.take().context("an agent")??.kill()?;
            let without = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(without == before, "without {}: {without:?}", node.name);
            *agent = Some(Agent::start_on(world, node, &flags));
            let after = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(after == before, "{} is back: {after:?}", node.name);
        }
        Ok(())
    })
}

/// Files go there and back, also when the way between the nodes becomes narrower.
fn transfers(world: &World, flags: &[&str]) -> anyhow::Result<()> {
    world.publish_text("files.yaml", &files::service("files", FILES, &[POD3], files::PORT))?;
    let _nginx = files::serve(world, POD3)?;
    let _agents = [Agent::start_on(world, &NODE1, flags)?, Agent::start_on(world, &NODE2, flags)?];
    let to = |family| Frontend::LoadBalancer.of(FILES, family);
    files::ready(world, Place::Outside, to(Family::V4))?;
    for mtu in [1500, 1400, 1300] {
        let script = format!(
            "route change 10.244.2.0/24 via {} mtu lock {mtu}\nroute change fd00:10:244:2::/64 via {} mtu lock {mtu}\n",
            NODE2.v4, NODE2.v6
        );
        world.ip(NODE1.name, &script)?;
        for family in Family::ALL {
            files::transfer(world, Place::Outside, to(family))
                .with_context(|| format!("{flags:?}, {mtu} bytes"))?;
        }
    }
    ensure!(world.drops("too_big")? > 0, "nobody was told to send less");
    Ok(())
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_in_ip() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "dsr"]))
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_in_udp() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "dsr", "--dsr-encapsulation", "gue"]))
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_translated() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "snat"]))
}
