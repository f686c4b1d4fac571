//! Where the nodes' agents pin their maps and links.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Where hosts usually have it.
const USUAL: &str = "/sys/fs/bpf";

/// The world's folder on a bpffs, with a private mount where the host has none.
#[derive(Clone, Debug)]
pub(super) struct Bpffs {
    folder: PathBuf,
    private: PathBuf,
}

impl Bpffs {
    /// Where the world of this prefix has its folder, made or not.
    pub(super) fn of(prefix: &str, run_folder: &Path) -> Self {
        let private = run_folder.join("bpffs");
        let folder = if is_bpffs(Path::new(USUAL)) { Path::new(USUAL).join(prefix) } else { private.clone() };
        Self { folder, private }
    }

    /// Makes the folder.
    pub(super) fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        if self.folder == self.private {
            mount(Some("bpffs"), &self.private, Some("bpf"), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("cannot mount a bpffs at {}", self.private.display()))?;
        }
        Ok(())
    }

    /// One node's folder, which its agent makes.
    pub(super) fn node(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes every pin, the folder and the mount.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        if self.folder != self.private {
            absent_is_fine(fs::remove_dir_all(&self.folder))
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        // A mount goes with all that is pinned in it.
        loop {
            match umount2(&self.private, MntFlags::MNT_DETACH) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
                Err(errno) => {
                    return Err(errno).with_context(|| format!("cannot unmount {}", self.private.display()));
                }
            }
        }
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
