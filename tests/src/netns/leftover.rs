//! What a run that was killed has left behind, found by the names of what runs make.

use std::{env, ffi::OsStr, fs, process};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// What these names begin with; the pid of the run follows.
const PREFIX: &str = "svclb-test-";

/// What the names that this run gives begin with.
pub(crate) fn prefix() -> String {
    format!("{PREFIX}{}-", process::id())
}

/// Whether a name was given by a run that has ended.
pub(super) fn is_abandoned(name: &OsStr) -> bool {
    let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
    run.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}

/// Removes the folders of killed runs. The mounts in them have vanished with the runs.
pub(crate) fn remove_abandoned_folders() -> anyhow::Result<()> {
    for entry in fs::read_dir(env::temp_dir())? {
        let entry = entry?;
        if is_abandoned(&entry.file_name()) {
            // Another test of this run may be doing the same.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    Ok(())
}
