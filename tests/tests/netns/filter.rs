//! What the agent counts in front of the frontends' table.

use std::{collections::BTreeMap, fs};

use anyhow::ensure;
use aya::maps::{Array, HashMap, Map, MapData};
use svclb::datapath::pins::Pins;
use svclb_common::{
    family::Addr4,
    key::FrontendKey,
    layout::map,
    line::LINE,
    service::{
        Frontend as Value,
        filter::{PLACES, place},
    },
};
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 171;

type Counts = BTreeMap<u32, u8>;

/// The filter of IPv4.
fn filter(pins: &Pins) -> anyhow::Result<Array<MapData, [u8; LINE]>> {
    let pin = pins.map(&format!("{}_V4", map::FRONTEND_FILTER));
    Ok(Array::try_from(Map::Array(MapData::from_pin(pin)?))?)
}

/// What is counted, and what there is to count, of IPv4.
fn counts(world: &World) -> anyhow::Result<(Counts, Counts)> {
    let pins = Pins::new(world.bpffs(&NODE1));
    world.namespace(NODE1.name).run(move || {
        let filter = filter(&pins)?;
        let mut counted = Counts::new();
        for line in 0..PLACES / LINE as u32 {
            let places = (line * LINE as u32..).zip(filter.get(&line, 0)?);
            counted.extend(places.filter(|(_, count)| *count != 0));
        }
        let pin = pins.map(&format!("{}_V4", map::FRONTENDS));
        let frontends =
            HashMap::<_, FrontendKey<Addr4>, Value>::try_from(Map::HashMap(MapData::from_pin(pin)?))?;
        let mut there = Counts::new();
        for key in frontends.keys() {
            *there.entry(place(&key?)).or_default() += 1;
        }
        anyhow::Ok((counted, there))
    })?
}

/// Waits until there are so many frontends; each is counted then.
fn agree(world: &World, frontends: impl Fn(usize) -> bool) -> anyhow::Result<usize> {
    let (count, _) = until("the frontends", PROMISE * 3, || {
        let (counted, there) = counts(world)?;
        let count = there.values().map(|count| usize::from(*count)).sum();
        Ok((frontends(count) && counted == there).then_some(count))
    })?;
    Ok(count)
}

#[test]
fn frontends_are_counted_as_they_come_and_go() -> anyhow::Result<()> {
    world(|world| {
        let service = || Service::new("counted", SERVICE, &[POD2]);
        world.publish(&service())?;
        let agent = Agent::start(world, &[])?;
        let all = agree(world, |count| count > 1)?;
        // An address that changes hands is written again, not counted again.
        let cluster_ip = Frontend::ClusterIp.of(SERVICE, Family::V4).ip().to_string();
        let external = Frontend::ExternalIp.of(SERVICE + 1, Family::V4).ip().to_string();
        let other = Service::new("other", SERVICE + 1, &[POD2]).yaml().replace(&external, &cluster_ip);
        world.publish_text("other.yaml", &other)?;
        let more = agree(world, |count| count > all)?;
        fs::remove_file(world.manifests().join("counted.yaml"))?;
        agree(world, |count| count < more)?;
        world.publish(&service())?;
        agree(world, |count| count == more)?;

        // Who adopts the tables counts for itself, whatever was left: too few, or too many.
        agent.kill()?;
        let pins = Pins::new(world.bpffs(&NODE1));
        world.namespace(NODE1.name).run(move || {
            let mut filter = filter(&pins)?;
            for line in 0..PLACES / LINE as u32 {
                let wrong = if line % 2 == 0 { [0; LINE] } else { [7; LINE] };
                filter.set(line, wrong, 0)?;
            }
            anyhow::Ok(())
        })??;
        ensure!(counts(world)?.0 != counts(world)?.1, "nothing was damaged");
        let _next = Agent::start(world, &[])?;
        agree(world, |count| count == more)?;
        let answers =
            world.ask(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(SERVICE, Family::V4), 5)?;
        ensure!(answers.answered() == 5, "{answers:?}");
        Ok(())
    })
}
