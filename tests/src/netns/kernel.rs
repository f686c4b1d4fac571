//! What the kernel holds of an agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
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
            maps.insert(map?.id());
        }
        let mut programs = BTreeSet::new();
        for program in loaded_programs() {
            programs.insert(program?.id());
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
            let program = program?;
            // A program may be gone before it is asked.
            let Ok(Some(maps)) = program.map_ids() else { continue };
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

impl World {
    /// What the agent of the first node has loaded.
    pub fn loaded(&self) -> anyhow::Result<Loaded> {
        let pins = Pins::new(self.bpffs(&NODE1));
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
