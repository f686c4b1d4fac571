//! Flow tables of another size: an agent that is told one takes all flows along.

use anyhow::ensure;
use aya::maps::MapInfo;
use svclb::datapath::pins::Pins;
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 163;

/// Names of the pinned flow tables with their sizes.
fn tables(world: &World) -> anyhow::Result<Vec<(String, u32)>> {
    let pins = Pins::new(world.bpffs(&NODE1));
    world.namespace(NODE1.name).run(move || {
        let mut tables = Vec::new();
        for entry in std::fs::read_dir(pins.maps())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("FLOWS_") || name.starts_with("HALF_OPEN_") {
                tables.push((name.clone(), MapInfo::from_pin(pins.map(&name))?.max_entries()));
            }
        }
        tables.sort();
        Ok(tables)
    })?
}

/// What is pinned with room for so many entries of flows, and nothing beside it.
fn expected(flows: u32) -> Vec<(String, u32)> {
    let of = |name: &str, entries| ["V4", "V6"].map(|family| (format!("{name}_{family}"), entries));
    of("FLOWS", flows).into_iter().chain(of("HALF_OPEN", flows / 4)).collect()
}

fn start(world: &World, flows: u32) -> anyhow::Result<Agent> {
    Agent::start(world, &["--socket-lb", "off", "--max-flows", &flows.to_string()])
}

/// Clients that keep a flow each, established and not.
fn hold(world: &World) -> anyhow::Result<Vec<Held>> {
    let mut held = Vec::new();
    for family in Family::ALL {
        for (place, frontend) in
            [(Place::Pod(POD1), Frontend::ClusterIp), (Place::Outside, Frontend::NodePort)]
        {
            held.push(world.hold(place, frontend.of(SERVICE, family))?);
            held.push(world.hold_udp(place, frontend.of(SERVICE, family))?);
        }
    }
    Ok(held)
}

#[test]
fn flows_live_on_in_a_larger_and_in_a_smaller_table() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("steady", SERVICE, &[POD2, POD3]))?;
        let mut agent = start(world, 8192)?;
        ensure!(tables(world)? == expected(8192), "{:?}", tables(world)?);
        let mut held = hold(world)?;
        // Those of the first half have answered once, which is not established yet.
        held.iter_mut().try_for_each(|held| held.ask().map(drop))?;
        let half = held.len() / 2;
        held[half..].iter_mut().try_for_each(|held| held.ask().map(drop))?;
        let before = held[half..].iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(before.iter().all(|answers| answers.answered() == 1), "{before:?}");
        let loads = [
            world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4))?,
            world.load(Place::Outside, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, Family::V6))?,
        ];
        for flows in [65_536, 4096, 4096] {
            agent.kill()?;
            agent = start(world, flows)?;
            until("tables of the other size", PATIENCE, || {
                Ok((tables(world)? == expected(flows)).then_some(()))
            })?;
            let after = held[half..].iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(after == before, "{before:?}, then {after:?}\n{}", agent.log().text());
        }
        let first = held[..half].iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(first.iter().all(|answers| answers.answered() == 1), "{first:?}");
        for load in loads {
            let answers = load.finish()?;
            ensure!(answers.failed() == 0 && answers.answered() > 20, "meanwhile: {answers:?}");
        }
        Ok(())
    })
}

/// An agent is killed before it has replaced a program: what it has made is there, and the next one goes on.
#[test]
fn an_interrupted_move_is_gone_on_with() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("steady", SERVICE, &[POD2, POD3]))?;
        let agent = start(world, 4096)?;
        let mut held = hold(world)?;
        held.iter_mut().try_for_each(|held| held.ask().map(drop))?;
        let before = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        agent.kill()?;
        let next = Agent::launch(world, &NODE1, &["--socket-lb", "off", "--max-flows", "8192"])?;
        until("a table beside the old one", PATIENCE * 4, || {
            Ok(tables(world)?.iter().any(|(_, entries)| *entries == 8192).then_some(()))
        })?;
        next.kill()?;
        // Wherever it was: the next one may be asked for something else.
        let _last = start(world, 16_384)?;
        until("tables of the other size", PATIENCE, || {
            Ok((tables(world)? == expected(16_384)).then_some(()))
        })?;
        let after = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(after == before, "{before:?}, then {after:?}");
        Ok(())
    })
}
