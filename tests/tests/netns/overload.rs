//! More first packets than there is room for.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    flood::Flood,
    layout::{CLIENT, Family, Frontend, POD1, POD2, POD3},
    manifest::Service,
};

use crate::support::world;

/// Whom the flood is for, and who lives beside it: on the same node, and on the other one.
const FLOODED: u8 = 165;
const NEAR: u8 = 166;
const FAR: u8 = 167;

/// Enough to fill the table of half-open flows some nine times.
const PACKETS: u64 = 300_000;

fn publish(world: &World, annotations: &[(&str, &str)]) -> anyhow::Result<()> {
    let flooded = Service::new("flooded", FLOODED, &[POD2]);
    let flooded = annotations.iter().fold(flooded, |service, (name, value)| service.annotation(name, value));
    world.publish(&flooded)?;
    // Another pod's: what a flood does to the queue of its own backend is not about svclb.
    world.publish(&Service::new("near", NEAR, &[POD1]))?;
    world.publish(&Service::new("far", FAR, &[POD3]))
}

/// Connections and sockets that are open, to the Service that is flooded as well, and what each was answered.
struct Open(Vec<(Held, String)>);

impl Open {
    fn new(world: &World, family: Family, flood: Flood) -> anyhow::Result<Self> {
        let mut held = Vec::new();
        for number in [FLOODED, NEAR, FAR] {
            held.push(world.hold(Place::Outside, Frontend::LoadBalancer.of(number, family))?);
            held.push(world.hold(Place::Pod(POD1), Frontend::ClusterIp.of(number, family))?);
            if number == FLOODED && flood == Flood::Datagrams {
                continue;
            }
            held.push(world.hold_udp(Place::Outside, Frontend::NodePort.of(number, family))?);
            held.push(world.hold_udp(Place::Pod(POD1), Frontend::ClusterIp.of(number, family))?);
        }
        let mut open = Vec::new();
        for mut one in held {
            // The second question establishes the flow.
            one.ask()?;
            let answers = one.ask()?;
            ensure!(answers.answered() == 1, "before the flood: {answers:?}");
            open.extend(answers.lines.into_keys().next().map(|line| (one, line)));
        }
        Ok(Self(open))
    }

    /// Asks on each; every one must be answered as before.
    fn ask(&mut self) -> anyhow::Result<()> {
        for (held, line) in &mut self.0 {
            let answers = held.ask()?;
            ensure!(answers.lines.keys().eq([&*line]), "was {line}, and then: {answers:?}");
        }
        Ok(())
    }
}

/// Floods one Service while everybody else goes on.
fn flooded(
    world: &World,
    family: Family,
    flood: Flood,
    flags: &[&str],
    cap: Option<&str>,
) -> anyhow::Result<()> {
    let cap: Vec<_> = cap.map(|cap| ("svclb.io/max-new-flows-per-second", cap)).into_iter().collect();
    publish(world, &cap)?;
    let flags = [&["--socket-lb", "off"], flags].concat();
    let agent = Agent::start(world, &flags)?;
    let mut open = Open::new(world, family, flood)?;
    let loads = [
        world.load(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(FAR, family))?,
        world.load(Place::Outside, Mode::Tcp, Frontend::NodePort.of(NEAR, family))?,
        world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(FAR, family))?,
    ];

    let target = Frontend::LoadBalancer.of(FLOODED, family);
    let flooding = flood.start(world.namespace(CLIENT.name), target, PACKETS)?;
    let mut rounds = 0;
    while !flooding.is_over() || rounds < 3 {
        open.ask()?;
        rounds += 1;
    }
    let sent = flooding.finish()?;
    ensure!(sent == PACKETS, "{sent} packets only");
    for load in loads {
        let answers = load.finish()?;
        ensure!(answers.failed() == 0 && answers.answered() > 0, "new connections: {answers:?}");
    }
    open.ask()?;
    let status = world.status()?;
    if cap.is_empty() {
        let is_half_open =
            |map: &str| map == format!("HALF_OPEN_{}", if family == Family::V4 { "V4" } else { "V6" });
        let table =
            status.flow_tables.iter().find(|table| is_half_open(&table.map)).context("no such table")?;
        // A CPU's share of a table that makes room by itself is not full all the time.
        ensure!(table.entries > table.capacity / 2, "the flood has not filled the table: {table:?}");
    } else {
        let dropped = status.drops["rate_limited"];
        ensure!(dropped > PACKETS / 2, "{dropped} of {sent} were turned away: {}", agent.log().text());
    }
    Ok(())
}

#[test]
fn a_flood_of_syns_leaves_others_alone() -> anyhow::Result<()> {
    world(|world| flooded(world, Family::V4, Flood::Syns, &[], None))
}

#[test]
fn a_flood_of_syns_leaves_others_alone_over_ipv6() -> anyhow::Result<()> {
    world(|world| flooded(world, Family::V6, Flood::Syns, &[], None))
}

#[test]
fn a_flood_of_datagrams_leaves_others_alone() -> anyhow::Result<()> {
    world(|world| flooded(world, Family::V4, Flood::Datagrams, &[], None))
}

/// A table of 1024 half-open flows would be full of strangers at once; the cap keeps room for others.
#[test]
fn a_cap_keeps_a_flood_out_of_a_small_table() -> anyhow::Result<()> {
    world(|world| flooded(world, Family::V4, Flood::Syns, &["--max-flows", "8192"], Some("100")))
}
