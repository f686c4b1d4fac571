//! The ground a world stands on: its lock, its folder, and what is left of an
//! earlier one.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    bpffs::Bpffs,
    cgroup::Cgroup,
    layout::{self, NODES},
    netns,
};

/// The names of everything a world makes outside its namespaces, and the lock
/// that keeps two worlds of one prefix apart.
#[derive(Debug)]
pub(super) struct Ground {
    prefix: String,
    lock_path: PathBuf,
    folder: PathBuf,
    /// Where the agents pin.
    pub(super) bpffs: Bpffs,
    /// The kernel lets go of it when this process ends, however it ends.
    _lock: File,
}

impl Ground {
    /// Takes the lock of a prefix.
    pub(super) fn claim(prefix: &str) -> anyhow::Result<Self> {
        let lock_path = PathBuf::from(format!("/run/{prefix}.lock"));
        let folder = PathBuf::from(format!("/run/{prefix}"));
        let lock = lock(&lock_path, prefix)?;
        let bpffs = Bpffs::of(prefix, &folder);
        Ok(Self { prefix: prefix.to_owned(), lock_path, folder, bpffs, _lock: lock })
    }

    /// The world's name for something: `svclb-node1`.
    pub(super) fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }

    /// The world's folder for ordinary files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether something of an earlier world is still there.
    pub(super) fn has_leftovers(&self) -> bool {
        self.folder.exists()
            || self.cgroups().next().is_some()
            || self.namespaces().any(|name| netns::path(&name).exists())
    }

    /// Removes everything a world of this prefix can have made, by name: the
    /// way to end a world and the way to clear up after one that crashed are
    /// the same.
    ///
    /// Goes on after a failure, so that one stubborn thing does not keep the rest.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let mut note = |step: anyhow::Result<()>| {
            if let Err(error) = step
                && outcome.is_ok()
            {
                outcome = Err(error);
            }
        };
        for cgroup in self.cgroups() {
            note(cgroup.remove().await);
        }
        for namespace in self.namespaces() {
            note(
                netns::remove(&namespace).with_context(|| format!("cannot remove the namespace {namespace}")),
            );
        }
        note(self.bpffs.remove());
        note(match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            _ => Ok(()),
        });
        outcome
    }

    fn namespaces(&self) -> impl Iterator<Item = String> {
        layout::namespaces().map(|part| self.name(part))
    }

    fn cgroups(&self) -> impl Iterator<Item = Cgroup> {
        NODES.iter().filter_map(|node| Cgroup::find(&self.name(node.host.name)))
    }

    /// Gives the prefix free, when nothing is left to protect.
    pub(super) fn release(self) -> anyhow::Result<()> {
        fs::remove_file(&self.lock_path)
            .with_context(|| format!("cannot remove {}", self.lock_path.display()))
    }
}

fn lock(path: &Path, prefix: &str) -> anyhow::Result<File> {
    let cannot = || format!("cannot open {}", path.display());
    loop {
        let file =
            File::options().create(true).truncate(false).write(true).open(path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another sandbox with the prefix {prefix:?} is running; stop it, or choose another with --prefix"
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        // Whoever held it may have removed the file after we opened it; then
        // the lock we got protects nothing.
        let same =
            fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|ours| ours.ino() == now.ino()));
        if same {
            return Ok(file);
        }
    }
}
