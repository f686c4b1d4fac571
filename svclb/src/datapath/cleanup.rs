//! Removing everything that svclb put on a host.

use std::{fs, io, path::Path};

use super::{Error, attach::Attachments, attach::TcMode, attach::Wanted, loopback, pins::Pins};

/// Detaches all programs and removes all pins, of this layout and of others.
pub async fn run(pins: &Pins) -> Result<(), Error> {
    if pins.links().is_dir() {
        Attachments::adopt(pins, TcMode::Auto)?.detach_all().await?;
    }
    loopback::close(pins)?;
    match remove_tree(pins.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(pins.root())(error)),
        _ => Ok(()),
    }
}

/// Removes what is below `path`, and `path` itself unless it is the root of a mount.
fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        result => result,
    }
}

impl Attachments {
    async fn detach_all(&mut self) -> Result<(), Error> {
        self.detach_unwanted(&Wanted::default()).await
    }
}
