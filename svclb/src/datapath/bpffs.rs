//! The BPF file system where the kernel has a place for it.

use std::{fs::File, io, path::Path};

use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, SYSFS_MAGIC, statfs},
};

/// An empty folder of sysfs, which is there to be mounted upon (Linux 4.4).
const PLACE: &str = "/sys/fs/bpf";

/// Mounts a BPF file system at the usual place if `root` is to be below it and there is none yet, as no init system has
/// done it. No other folder is mounted upon: what is in it would be hidden.
///
/// False if there is none afterwards; why, is in the log.
pub(super) fn provide(root: &Path) -> bool {
    if !root.starts_with(PLACE) {
        return false;
    }
    match mount_once() {
        Ok(is_new) => {
            if is_new {
                tracing::info!("mounted a BPF file system at {PLACE}: there was none");
            }
            true
        }
        Err(error) => {
            tracing::warn!("cannot mount a BPF file system at {PLACE}: {error}");
            false
        }
    }
}

/// Whether it was mounted just now. Two who start at once must not mount one upon the other.
fn mount_once() -> io::Result<bool> {
    let above = File::open(Path::new(PLACE).parent().unwrap_or(Path::new("/")))?;
    let _lock = Flock::lock(above, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    match statfs(PLACE)?.filesystem_type() {
        BPF_FS_MAGIC => Ok(false),
        SYSFS_MAGIC => {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("bpf"), PLACE, Some("bpf"), flags, Some("mode=700"))?;
            Ok(true)
        }
        _ => Err(io::Error::other("something else is mounted there")),
    }
}
