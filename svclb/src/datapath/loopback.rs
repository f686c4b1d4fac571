//! Sysctls of the loopback device for `--socket-lb=off`.
//!
//! There answers to host processes are handed to the loopback device as if it had
//! received them: from an address of this node, to an address of this node. The
//! kernel takes such packets from a device only if it is told to. That device
//! receives from this host alone, so that nothing is opened to others.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Error;

/// The sysctl, its value here, and the kernel's default.
const SYSCTLS: [(&str, &str, &str); 3] =
    [("accept_local", "1", "0"), ("route_localnet", "1", "0"), ("rp_filter", "2", "0")];

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf/lo").join(name)
}

/// Lets the loopback device take answers.
pub fn open() -> Result<(), Error> {
    SYSCTLS.iter().try_for_each(|(name, value, _)| write(name, value))
}

/// Puts the kernel's defaults back.
pub fn close() -> Result<(), Error> {
    SYSCTLS.iter().try_for_each(|(name, _, default)| write(name, default))
}

fn write(name: &str, value: &str) -> Result<(), Error> {
    let path = path(name);
    match fs::write(&path, value) {
        // A host without IPv4 has no such folder, and needs none.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}
