//! Removing everything that svclb put on a host.

use std::{fs, io, path::Path};

use super::{
    Error,
    attach::{Attachments, TcMode},
    clsact, lock, loopback,
    pins::Pins,
};
use crate::{
    netfilter::rules,
    takeover::handover::{self, Handover},
};

/// Detaches all programs and removes all pins, those of other layouts as well. Refuses
/// while an agent runs, whose hold on the programs would keep them in the kernel. If it `hands_over`, the stack gets
/// the flows before.
pub async fn run(pins: &Pins, hands_over: bool) -> Result<Option<Handover>, Error> {
    if !pins.root().exists() {
        return Ok(None);
    }
    // Whatever else the flag may name by mistake is not ours to remove.
    pins.on_bpffs()?;
    let _lock = lock::take(pins).await?;
    let handed = if hands_over && pins.maps().is_dir() { Some(handover::run(pins)?) } else { None };
    if pins.links().is_dir() {
        Attachments::adopt(pins, TcMode::Auto)?.detach_all().await?;
    }
    for version in pins.versions()? {
        let layout = pins.at(version);
        // Links go with their pins.
        clsact::Filters::adopt(&layout)?.retain(&layout, |_| false).await?;
        loopback::close(&layout)?;
        remove_tree(&layout.layout()).map_err(Error::file(layout.layout()))?;
    }
    match &handed {
        Some(handed) => handed.finish(),
        // Kernels without nftables have no such table.
        None => drop(rules::leave_nat()),
    }
    match fs::remove_dir(pins.root()) {
        // The root of a mount, or a folder that others use as well.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty) =>
        {
            Ok(())
        }
        result => result.map_err(Error::file(pins.root())),
    }?;
    Ok(handed)
}

/// Removes a folder of pins and all that is in it.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(path)
}
