//! The older programs' links: whoever comes is attached behind them, until they go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
};

use crate::{
    datapath::{
        Error,
        attach::Hook,
        carry::rename,
        clsact::{Filters, unmark},
        pins::Pins,
    },
    sys::link::{self, Target},
};

/// Links to devices, and the filters that stand for them where there is no TCX.
pub(super) struct OlderLinks {
    links: BTreeMap<Hook, OwnedFd>,
    filters: Filters,
}

impl OlderLinks {
    /// Opens what is pinned.
    pub(super) fn open(older: &Pins) -> Result<Self, Error> {
        let mut links = BTreeMap::new();
        for name in older.link_names()? {
            if let Some(hook @ Hook::Device(..)) = Hook::from_pin(&name) {
                let path = older.link(&name);
                links.insert(hook, link::open(&path).map_err(Error::file(path))?);
            }
        }
        Ok(Self { links, filters: Filters::adopt(older)? })
    }

    /// The link at a hook, if it is still attached there.
    pub(super) fn at(&self, hook: Hook) -> Option<&OwnedFd> {
        let Hook::Device(ifindex, _) = hook else { return None };
        let link = self.links.get(&hook)?;
        let is_there =
            link::info(link.as_fd()).is_ok_and(|info| info.target == Target::Device(Some(ifindex)));
        is_there.then_some(link)
    }

    /// Devices that have one on some side.
    pub(super) fn devices(&self) -> impl Iterator<Item = u32> {
        let linked =
            self.links.keys().filter(|hook| self.at(**hook).is_some()).filter_map(|hook| match hook {
                Hook::Device(ifindex, _) => Some(*ifindex),
                Hook::Socket(_) => None,
            });
        let devices: BTreeSet<u32> = linked.chain(self.filters.devices()).collect();
        devices.into_iter()
    }

    /// Takes the programs away, at once: a link that is only no longer pinned goes some time later.
    pub(super) fn release(&mut self, older: &Pins) -> Result<(), Error> {
        while let Some((hook, link)) = self.links.pop_first() {
            match link::detach(link.as_fd()) {
                // Its device is gone.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOLINK) => {}
                result => result.map_err(Error::file(older.link(&hook.pin())))?,
            }
            let path = older.link(&hook.pin());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file(path)(error));
                }
                _ => {}
            }
        }
        self.filters.release(older)?;
        for name in older.link_names()?.iter().filter(|name| name.starts_with("qdisc_")) {
            unmark(older, name)?;
        }
        Ok(())
    }
}

/// Moves the pins of links of one kind. One that both have is this layout's already.
pub(super) fn hand_over(older: &Pins, own: &Pins, kind: &str) -> Result<(), Error> {
    for name in older.link_names()?.iter().filter(|name| name.starts_with(kind)) {
        if !own.link(name).exists() {
            rename(&older.link(name), &own.link(name))?;
        }
    }
    Ok(())
}
