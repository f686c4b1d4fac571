//! What the kernel holds of an agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs, io, iter,
    os::fd::AsFd as _,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, ensure};
use aya::{
    maps::{MapInfo, loaded_maps},
    programs::loaded_programs,
};
use svclb::{datapath::pins::Pins, sys::link};

use super::{layout::NODE1, world::World};

/// Ids of what an agent has loaded. Every world has its own: programs are told apart
/// from other worlds' by the maps they use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Programs that use these maps.
    pub programs: BTreeSet<u32>,
    /// Links by their pin's name: the link's id and its program's.
    pub links: BTreeMap<String, (u32, u32)>,
}

impl Loaded {
    /// The ids of links by their pin's name.
    pub fn link_ids(&self) -> BTreeMap<&str, u32> {
        self.links.iter().map(|(name, (link, _))| (name.as_str(), *link)).collect()
    }

    /// What of this is still there.
    pub fn remaining(&self) -> anyhow::Result<Self> {
        let mut maps = BTreeSet::new();
        for map in loaded_maps() {
            maps.extend(there(map)?.map(|map| map.id()));
        }
        let mut programs = BTreeSet::new();
        for program in loaded_programs() {
            programs.extend(there(program)?.map(|program| program.id()));
        }
        Ok(Self {
            maps: self.maps.intersection(&maps).copied().collect(),
            programs: self.programs.intersection(&programs).copied().collect(),
            links: BTreeMap::new(),
        })
    }

    fn read(pins: &Pins) -> anyhow::Result<Self> {
        let mut loaded = Self::default();
        for entry in fs::read_dir(pins.maps())? {
            loaded.maps.insert(MapInfo::from_pin(entry?.path())?.id());
        }
        for program in loaded_programs() {
            let Some(program) = there(program)? else { continue };
            let Some(maps) = there(program.map_ids())?.flatten() else { continue };
            if maps.iter().any(|map| loaded.maps.contains(map)) {
                loaded.programs.insert(program.id());
            }
        }
        for name in pins.link_names()? {
            let path = pins.link(&name);
            // A clsact filter is a folder.
            if path.is_file() {
                let info = link::info(link::open(&path)?.as_fd())?;
                loaded.links.insert(name, (info.id, info.program));
            }
        }
        Ok(loaded)
    }
}

/// What the kernel listed and still had when it was asked: other worlds come and go meanwhile.
fn there<T, E: Error + Send + Sync + 'static>(listed: Result<T, E>) -> anyhow::Result<Option<T>> {
    match listed {
        Ok(object) => Ok(Some(object)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn gone(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::NotFound)
}

impl World {
    /// What the agent of the first node has loaded.
    pub fn loaded(&self) -> anyhow::Result<Loaded> {
        self.loaded_by(Pins::new(self.bpffs(&NODE1)))
    }

    /// What an agent of the layout of these pins has loaded.
    pub fn loaded_by(&self, pins: Pins) -> anyhow::Result<Loaded> {
        self.namespace(NODE1.name).run(move || Loaded::read(&pins))?.context("cannot read the pins")
    }

    /// Every file and folder where the agent of the first node pins.
    pub fn pinned(&self) -> anyhow::Result<Vec<PathBuf>> {
        let root = self.bpffs(&NODE1);
        Ok(self.namespace(NODE1.name).run(move || tree(root))??)
    }

    /// What `tc` prints in the first node's namespace.
    pub fn tc(&self, line: &str) -> anyhow::Result<String> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let output =
            self.namespace(NODE1.name).run(move || Command::new("tc").args(arguments).output())??;
        ensure!(output.status.success(), "tc {line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn tree(root: PathBuf) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    Ok(found)
}
