//! Where maps and links are pinned: `<bpffs>/v<layout>/maps/<NAME>` and
//! `<bpffs>/v<layout>/links/<name>`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use svclb_common::layout::LAYOUT_VERSION;

use super::{Error, bpffs};

/// The folders of one agent's pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
    version: u32,
}

impl Pins {
    /// The pins of this binary's layout below `root` (`--bpffs`).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), version: LAYOUT_VERSION }
    }

    /// Those of another layout.
    #[must_use]
    pub fn at(&self, version: u32) -> Self {
        Self { root: self.root.clone(), version }
    }

    /// The version of the layout.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The folder that was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the layout.
    pub fn layout(&self) -> PathBuf {
        self.root.join(format!("v{}", self.version))
    }

    /// The versions of all layouts that have a folder: `v` and a number. None without a root.
    pub fn versions(&self) -> Result<BTreeSet<u32>, Error> {
        Ok(names(&self.root)?.iter().filter_map(|name| version_of(name)).collect())
    }

    /// The folder of maps.
    pub fn maps(&self) -> PathBuf {
        self.layout().join("maps")
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The folder of links.
    pub fn links(&self) -> PathBuf {
        self.layout().join("links")
    }

    /// The pin of a link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// An error unless the folder is, or would be, on a BPF file system.
    pub fn on_bpffs(&self) -> Result<(), Error> {
        let existing = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let kind = statfs(existing).map_err(|errno| Error::file(existing)(errno.into()))?.filesystem_type();
        if kind != BPF_FS_MAGIC {
            return Err(Error::NoBpffs(self.root.clone()));
        }
        Ok(())
    }

    /// Makes the folders, once it is sure that they are on a BPF file system; at the usual place it is mounted, if nobody
    /// has.
    pub fn create(&self) -> Result<(), Error> {
        self.on_bpffs().or_else(|error| bpffs::provide(&self.root).then_some(()).ok_or(error))?;
        for folder in [self.maps(), self.links()] {
            fs::create_dir_all(&folder).map_err(Error::file(folder))?;
        }
        Ok(())
    }

    /// An error unless an agent of this layout has run here, and none of a newer one.
    pub fn require(&self) -> Result<(), Error> {
        let others = self.versions()?;
        match others.last() {
            Some(&found) if found > self.version || !self.maps().is_dir() && found != self.version => {
                Err(Error::OtherLayout { root: self.root.clone(), found, own: self.version })
            }
            _ if self.maps().is_dir() => Ok(()),
            _ => Err(Error::NoPins(self.root.clone())),
        }
    }

    /// Names of the pinned links, sorted.
    pub fn link_names(&self) -> Result<Vec<String>, Error> {
        names(&self.links())
    }
}

/// The layout that a folder of this name is for.
fn version_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix('v')?;
    number.parse().ok().filter(|version: &u32| version.to_string() == number)
}

/// What is in a folder, sorted; nothing if there is none.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file(folder)(error)),
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(Error::file(folder))?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_layouts_are_told_from_others() {
        let root = tempfile::tempdir().unwrap();
        for name in ["v0", "v5", "v17", "v", "v05", "v+5", "vx", "w5", "5"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let pins = Pins::new(root.path());
        assert_eq!(pins.versions().unwrap(), [0, 5, 17].into());
        assert_eq!(pins.at(5).layout(), root.path().join("v5"));
        assert!(Pins::new(root.path().join("none")).versions().unwrap().is_empty());
    }

    /// Folders that are there, and the layout that a report complains of; 0 is that nothing is pinned.
    #[test]
    fn reports_are_of_this_layout_or_say_which_it_is() {
        let own = LAYOUT_VERSION;
        let table: [(&[u32], Option<u32>); 6] = [
            (&[], Some(0)),
            (&[own], None),
            (&[own - 1, own], None),
            (&[own - 1], Some(own - 1)),
            (&[own + 1], Some(own + 1)),
            (&[own, 99], Some(99)),
        ];
        for (there, complaint) in table {
            let root = tempfile::tempdir().unwrap();
            let pins = Pins::new(root.path());
            for version in there {
                fs::create_dir_all(pins.at(*version).maps()).unwrap();
            }
            let found = match pins.require() {
                Ok(()) => None,
                Err(Error::OtherLayout { found, .. }) => Some(found),
                Err(error) => Some(if matches!(error, Error::NoPins(_)) { 0 } else { u32::MAX }),
            };
            assert_eq!(found, complaint, "{there:?}");
        }
    }
}
