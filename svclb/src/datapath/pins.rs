//! Where maps and links are pinned: `<bpffs>/v<layout>/maps/<NAME>` and
//! `<bpffs>/v<layout>/links/<name>`.

use std::{
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
}

impl Pins {
    /// The pins below `root` (`--bpffs`).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of this layout.
    pub fn layout(&self) -> PathBuf {
        self.root.join(format!("v{LAYOUT_VERSION}"))
    }

    /// The folders of all layouts that are there: `v` and a number.
    pub fn layouts(&self) -> Result<Vec<PathBuf>, Error> {
        let is_layout = |name: &str| {
            name.strip_prefix('v')
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let entries = fs::read_dir(&self.root).map_err(Error::file(&self.root))?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
        let mut paths = paths.map_err(Error::file(&self.root))?;
        paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_layout));
        Ok(paths)
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

    /// An error unless an agent of this layout has run here.
    pub fn require(&self) -> Result<(), Error> {
        if self.maps().is_dir() { Ok(()) } else { Err(Error::NoPins(self.root.clone())) }
    }

    /// Names of the pinned links, sorted.
    pub fn link_names(&self) -> Result<Vec<String>, Error> {
        let folder = self.links();
        let entries = match fs::read_dir(&folder) {
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
}
