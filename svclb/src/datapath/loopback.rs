//! Sysctls of the loopback device, where host processes are translated per packet: with `--socket-lb=off`, and for
//! Services of SCTP.
//!
//! There answers to host processes are handed to the loopback device as if it had
//! received them: from an address of this node, to an address of this node. The
//! kernel takes such packets from a device only if it is told to. That device
//! receives from this host alone, so that nothing is opened to others.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Error, pins::Pins};

/// The sysctl and its value here.
const SYSCTLS: [(&str, &str); 3] = [("accept_local", "1"), ("route_localnet", "1"), ("rp_filter", "2")];

/// A folder beside the pins. In it a folder per sysctl is called by name and earlier
/// value, because a BPF file system has no files to write to.
fn earlier(pins: &Pins) -> PathBuf {
    pins.layout().join("loopback")
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf/lo").join(name)
}

/// Lets the loopback device take answers. What was set before is kept for [`close`].
pub fn open(pins: &Pins) -> Result<(), Error> {
    let folder = earlier(pins);
    let kept = kept(&folder)?;
    // All are kept before the first is set, so that what is not kept yet is not ours.
    for (name, _) in SYSCTLS.iter().filter(|(name, _)| !kept.iter().any(|(kept, _)| kept == name)) {
        if let Some(value) = read(name)? {
            let marker = folder.join(format!("{name}_{value}"));
            fs::create_dir_all(&marker).map_err(Error::file(marker))?;
        }
    }
    SYSCTLS.iter().try_for_each(|(name, value)| write(name, value))
}

/// Puts back what [`open`] has found.
pub fn close(pins: &Pins) -> Result<(), Error> {
    let folder = earlier(pins);
    for (name, value) in kept(&folder)? {
        write(&name, &value)?;
        let marker = folder.join(format!("{name}_{value}"));
        fs::remove_dir(&marker).map_err(Error::file(marker))?;
    }
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(folder)(error)),
        _ => Ok(()),
    }
}

/// Names and earlier values.
fn kept(folder: &Path) -> Result<Vec<(String, String)>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file(folder))?,
    };
    let names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(Error::file(folder))?;
    let pair = |name: &String| name.rsplit_once('_').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(names.iter().filter_map(pair).collect())
}

/// None on a host without IPv4.
fn read(name: &str) -> Result<Option<String>, Error> {
    let path = path(name);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        value => value.map(|value| Some(value.trim().to_owned())).map_err(Error::file(path)),
    }
}

/// What has the value already may be read-only, as it is in a container.
fn write(name: &str, value: &str) -> Result<(), Error> {
    if read(name)?.as_deref() == Some(value) {
        return Ok(());
    }
    let path = path(name);
    match fs::write(&path, value) {
        // A host without IPv4 has no such folder, and needs none.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}
