//! Pins that were meddled with while no agent ran.

use std::{fs, io, path::Path};

use anyhow::{Context as _, ensure};
use svclb::datapath::pins::Pins;
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2, POD3},
    manifest::Service,
};

use super::answers;
use crate::{errors::says, support::world};

const SERVICE: u8 = 164;

/// Does something to the pins of the first node, where they can be seen.
fn meddle(world: &World, how: impl FnOnce(&Pins) -> io::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let pins = Pins::new(world.bpffs(&NODE1));
    world.namespace(NODE1.name).run(move || how(&pins))?.context("the pins")
}

/// Removes what is in a folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// What is done to pins.
type Damage = fn(&Pins) -> io::Result<()>;

#[test]
fn what_was_deleted_is_made_again() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("meddled", SERVICE, &[POD2, POD3]))?;
        let start = || Agent::start(world, &[]);
        start()?.kill()?;
        let cases: [(&str, Damage); 4] = [
            ("some tables", |pins| {
                let names = ["BACKENDS_V4", "FRONTENDS_V6", "SERVICES_V4", "NAMES_V6", "FLOWS_V4", "STATE"];
                names.iter().try_for_each(|name| fs::remove_file(pins.map(name)))
            }),
            ("all links", |pins| empty(&pins.links())),
            ("half of the links and half of the tables", |pins| {
                for folder in [pins.links(), pins.maps()] {
                    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
                    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
                    paths.sort();
                    paths.iter().step_by(2).filter(|path| path.is_file()).try_for_each(fs::remove_file)?;
                }
                Ok(())
            }),
            ("all", |pins| {
                for folder in [pins.links(), pins.maps()] {
                    empty(&folder)?;
                    fs::remove_dir(folder)?;
                }
                Ok(())
            }),
        ];
        let pinned = world.pinned()?.len();
        for (what, how) in cases {
            meddle(world, how)?;
            let agent = start().context(what)?;
            answers(world, SERVICE, &[POD2, POD3]).context(what)?;
            ensure!(world.pinned()?.len() == pinned, "{what}: {} pins of {pinned}", world.pinned()?.len());
            let log = agent.log().text();
            ensure!(!log.contains("ERROR"), "{what}:\n{log}");
            agent.kill()?;
        }
        Ok(())
    })
}

#[test]
fn what_is_not_ours_is_named_or_replaced() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("meddled", SERVICE, &[POD2]))?;
        Agent::start(world, &[])?.kill()?;
        // A table in place of a link, and a name that is nobody's.
        meddle(world, |pins| {
            let links = fs::read_dir(pins.links())?.map(|entry| Ok(entry?.path()));
            let links = links.collect::<io::Result<Vec<_>>>()?;
            let is_ingress = |name: &str| name.starts_with("tcx_ingress") || name.starts_with("clsact");
            let link = links
                .iter()
                .find(|path| path.file_name().is_some_and(|name| is_ingress(&name.to_string_lossy())));
            let link = link.ok_or(io::ErrorKind::NotFound)?;
            fs::remove_file(link)?;
            fs::hard_link(pins.map("DROPS"), link)?;
            fs::hard_link(pins.map("DROPS"), pins.link("somebody_s"))
        })?;
        let agent = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD2])?;
        ensure!(agent.terminate()?.success());
        // A table of another kind in place of one of ours.
        meddle(world, |pins| {
            fs::remove_file(pins.map("FRONTENDS_V4"))?;
            fs::hard_link(pins.map("DROPS"), pins.map("FRONTENDS_V4"))
        })?;
        says(&world.raw(&NODE1, &world.run_args(&NODE1, &[]))?, 1, "FRONTENDS_V4")?;
        ensure!(world.svclb(&["cleanup"])?.status.success());
        let _agent = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD2])
    })
}
