//! What is pinned under a name of svclb's and is not what svclb needs: it is named in one line, and nothing changes.

use std::{fs, path::Path};

use anyhow::ensure;
use svclb::datapath::{
    carry,
    object::{Capacities, names},
    pins::Pins,
};
use svclb_common::layout::map;
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2},
    manifest::Service,
};

use crate::support::world;

const FLAGS: [&str; 2] = ["--socket-lb", "off"];

/// An agent that has ended, and left its pins.
fn left(world: &World, flags: &[&str]) -> anyhow::Result<Pins> {
    world.publish(&Service::new("brief", 64, &[POD2]))?;
    Agent::start(world, flags)?.kill()?;
    Ok(Pins::new(world.bpffs(&NODE1)))
}

/// Puts what is pinned at `from` in the place of another pin, for as long as `look` looks.
fn in_place_of<T>(pin: &Path, from: &Path, look: impl FnOnce() -> T) -> anyhow::Result<T> {
    let aside = pin.with_file_name("aside");
    fs::rename(pin, &aside)?;
    fs::hard_link(from, pin)?;
    let seen = look();
    fs::rename(&aside, pin)?;
    Ok(seen)
}

#[test]
fn every_pinned_map_is_compared_before_it_is_used() -> anyhow::Result<()> {
    world(|world| {
        let pins = left(world, &FLAGS)?;
        world.namespace(NODE1.name).run(move || -> anyhow::Result<()> {
            let check = || carry::check(&pins, &Capacities::new());
            check()?;
            for name in names() {
                // None has the shape of either, but itself.
                let other = if name == map::NODES { map::STATE } else { map::NODES };
                let found = in_place_of(&pins.map(&name), &pins.map(other), check)?;
                let line = found.err().map(|error| error.to_string()).unwrap_or_default();
                let named = format!("pinned map {} has type ", pins.map(&name).display());
                ensure!(
                    line.starts_with(&named) && line.contains("this svclb needs type "),
                    "{name}: {line:?}"
                );
            }
            let link = pins.link(&pins.link_names()?[0]);
            let found = in_place_of(&pins.map(map::NODES), &link, check)?;
            ensure!(found.is_err(), "a link among the maps");
            Ok(check()?)
        })?
    })
}

#[test]
fn an_agent_refuses_maps_of_another_shape_and_changes_nothing() -> anyhow::Result<()> {
    world(|world| {
        let pins = left(world, &FLAGS)?;
        let services = pins.map("SERVICES_V4");
        let (pin, other) = (services.clone(), pins.map(map::NODES));
        world
            .namespace(NODE1.name)
            .run(move || fs::remove_file(&pin).and_then(|()| fs::hard_link(other, pin)))??;
        let (pinned, loaded) = (world.pinned()?, world.loaded()?);
        let agent = Agent::launch(world, &NODE1, &FLAGS)?;
        let log = agent.log();
        let status = agent.wait()?;
        let text = log.text();
        let told: Vec<_> = text.lines().filter(|line| line.starts_with("svclb: ")).collect();
        let expected = format!("svclb: pinned map {} has ", services.display());
        ensure!(status.code() == Some(1) && told.len() == 1 && told[0].starts_with(&expected), "{text}");
        ensure!(told[0].contains("run svclb cleanup"), "{text}");
        ensure!(world.pinned()? == pinned && world.loaded()? == loaded, "something has changed");
        Ok(())
    })
}
