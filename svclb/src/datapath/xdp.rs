//! XDP programs of uplinks, on top of their TC programs: what is not attached here, or not
//! carried, the TC programs do.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::maps::{Map, MapData, xdp::DevMapHash};
use svclb_common::layout::map;

use super::{
    Error,
    attach::{Attached, attach_error},
    loader::{Programs, program_name},
    pins::Pins,
    refusals::is_gone,
    tables::absent,
};
use crate::{
    netdev::{Features, XdpHook, features},
    sys::link::{self, Target},
};

/// A device that is to take packets before the stack does. Any change of it is worth another
/// attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedXdp {
    /// Its name.
    pub name: String,
    /// Where the program is to run.
    pub hook: XdpHook,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
}

/// A pinned link.
struct Link {
    fd: OwnedFd,
    hook: XdpHook,
    /// Whether this agent's program is in it.
    is_current: bool,
}

/// What is attached by this agent, and which devices take frames from other ones.
pub(super) struct XdpLinks {
    pins: Pins,
    links: BTreeMap<u32, Link>,
    /// Devices that refused, with what was tried and why.
    refused: BTreeMap<u32, (WantedXdp, String)>,
}

/// The name of a link's pin.
fn pin(ifindex: u32, hook: XdpHook) -> String {
    format!("xdp_{hook}_{ifindex}")
}

/// The device and the hook of the link that is pinned under that name.
pub(super) fn from_pin(name: &str) -> Option<(u32, XdpHook)> {
    let (hook, ifindex) = name.strip_prefix("xdp_")?.split_once('_')?;
    let hook = [XdpHook::Native, XdpHook::Generic].into_iter().find(|known| known.to_string() == hook)?;
    Some((ifindex.parse().ok()?, hook))
}

/// Devices with an XDP program of svclb's, according to the pins.
pub fn attached_xdp(pins: &Pins) -> BTreeSet<u32> {
    let names = pins.link_names().unwrap_or_default();
    names.iter().filter_map(|name| from_pin(name)).map(|(ifindex, _)| ifindex).collect()
}

/// The links according to the pins; `names` are the devices' names by index.
pub(super) fn attached(pins: &Pins, names: &BTreeMap<u32, String>) -> Result<Vec<Attached>, Error> {
    let mut found = Vec::new();
    for name in pins.link_names()? {
        let Some((ifindex, _)) = from_pin(&name) else { continue };
        let path = pins.link(&name);
        let info = match link::open(&path).and_then(|link| link::info(link.as_fd())) {
            // Its device went between the list and this look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            info => info.map_err(Error::file(path))?,
        };
        if info.target == Target::Device(Some(ifindex)) {
            let device = names.get(&ifindex).cloned().unwrap_or_else(|| ifindex.to_string());
            let program = program_name(info.program).unwrap_or_default();
            found.push(Attached { device, hook: "xdp".into(), program });
        }
    }
    Ok(found)
}

impl XdpLinks {
    /// Takes over what is pinned.
    pub(super) fn adopt(pins: &Pins) -> Result<Self, Error> {
        let mut links = BTreeMap::new();
        for name in pins.link_names()? {
            if let Some((ifindex, hook)) = from_pin(&name) {
                let path = pins.link(&name);
                let fd = link::open(&path).map_err(Error::file(path))?;
                links.insert(ifindex, Link { fd, hook, is_current: false });
            }
        }
        Ok(Self { pins: pins.clone(), links, refused: BTreeMap::new() })
    }

    /// Attaches what is wanted, on devices that have their TC programs. A device that refuses is told of once, and tried again when it
    /// has changed.
    pub(super) fn attach(&mut self, programs: &mut Programs, wanted: &BTreeMap<u32, WantedXdp>) {
        self.refused.retain(|ifindex, (tried, _)| wanted.get(ifindex) == Some(tried));
        for (ifindex, device) in wanted {
            if self.refused.contains_key(ifindex) {
                continue;
            }
            if let Err(error) = self.attach_one(programs, *ifindex, device) {
                let reason = error.to_string();
                if is_gone(*ifindex) {
                    tracing::debug!(device = device.name, "{reason}");
                } else {
                    tracing::warn!(
                        device = device.name,
                        "{reason}: its packets are taken by the TC programs alone"
                    );
                }
                self.refused.insert(*ifindex, (device.clone(), reason));
            }
        }
    }

    fn attach_one(&mut self, programs: &mut Programs, ifindex: u32, device: &WantedXdp) -> Result<(), Error> {
        let (program, fd) = programs.xdp()?;
        let failed = |error: &io::Error| attach_error(program, &device.name, &explained(error));
        match self.links.entry(ifindex) {
            Entry::Occupied(entry) => {
                let link = entry.into_mut();
                if !link.is_current {
                    link::update(link.fd.as_fd(), fd.as_fd()).map_err(|error| failed(&error))?;
                    link.is_current = true;
                }
            }
            Entry::Vacant(entry) => {
                let is_native = device.hook == XdpHook::Native;
                let link =
                    link::attach_xdp(fd.as_fd(), ifindex, is_native).map_err(|error| failed(&error))?;
                let path = self.pins.link(&pin(ifindex, device.hook));
                link::pin(link.as_fd(), &path).map_err(Error::file(path))?;
                entry.insert(Link { fd: link, hook: device.hook, is_current: true });
            }
        }
        Ok(())
    }

    /// Removes the links of devices that are gone, or not wanted so.
    pub(super) fn detach(&mut self, wanted: &BTreeMap<u32, WantedXdp>) -> Result<(), Error> {
        let is_wanted = |ifindex: &u32, link: &Link| {
            wanted.get(ifindex).is_some_and(|device| device.hook == link.hook)
                && link::info(link.fd.as_fd()).is_ok_and(|info| info.target == Target::Device(Some(*ifindex)))
        };
        let unwanted: Vec<_> =
            self.links.iter().filter(|(ifindex, link)| !is_wanted(ifindex, link)).map(|(i, _)| *i).collect();
        for ifindex in unwanted {
            self.open()?.remove(ifindex).or_else(absent).map_err(|error| failed(&error))?;
            let Some(link) = self.links.remove(&ifindex) else { continue };
            let path = self.pins.link(&pin(ifindex, link.hook));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file(path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets programs send frames to the devices that take them; to none if a program runs where
    /// it could not send any.
    pub(super) fn connect(&self) -> Result<(), Error> {
        let can = |ifindex: u32, link: &Link, what| {
            link.hook == XdpHook::Generic || features(ifindex).is_ok_and(|features| features.has(what))
        };
        let all_send = self.links.iter().all(|(ifindex, link)| can(*ifindex, link, Features::REDIRECT));
        let takes = |ifindex: &u32, link: &Link| all_send && can(*ifindex, link, Features::TAKES);
        let taking = self.links.iter().filter(|(ifindex, link)| takes(ifindex, link));
        let taking: BTreeSet<u32> = taking.map(|(ifindex, _)| *ifindex).collect();
        let mut devices = self.open()?;
        let known: BTreeSet<u32> = devices.keys().filter_map(Result::ok).collect();
        for ifindex in known.difference(&taking) {
            devices.remove(*ifindex).or_else(absent).map_err(|error| failed(&error))?;
        }
        for ifindex in taking.difference(&known) {
            devices.insert(*ifindex, *ifindex, None, 0).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn open(&self) -> Result<DevMapHash<MapData>, Error> {
        let data = MapData::from_pin(self.pins.map(map::XDP_UPLINKS)).map_err(|error| failed(&error))?;
        Map::from_map_data(data).and_then(DevMapHash::try_from).map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::map(map::XDP_UPLINKS, error)
}

/// What the kernel means: it says no more than a number.
fn explained(error: &io::Error) -> io::Error {
    use nix::libc::{EBUSY, EEXIST, EINVAL, EOPNOTSUPP, ERANGE};
    let meaning = match error.raw_os_error() {
        Some(EBUSY | EEXIST) => "another XDP program runs there",
        Some(EOPNOTSUPP) => "its driver has no XDP, or not with these settings (MTU, queues, LRO)",
        Some(EINVAL | ERANGE) => "its driver does not take programs with these settings (MTU, queues, LRO)",
        _ => return io::Error::other(error.to_string()),
    };
    io::Error::other(format!("{meaning}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_tell_device_and_hook() {
        for hook in [XdpHook::Native, XdpHook::Generic] {
            assert_eq!(from_pin(&pin(17, hook)), Some((17, hook)));
        }
        for foreign in ["xdp_17", "xdp_native_x", "xdp_other_17", "tcx_ingress_17", "uplink_17"] {
            assert_eq!(from_pin(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_refusal_says_what_it_means() {
        let line = explained(&io::Error::from_raw_os_error(nix::libc::EBUSY)).to_string();
        assert!(line.starts_with("another XDP program runs there: "), "{line}");
    }
}
