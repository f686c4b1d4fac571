//! What is attached, for reports.

use std::{collections::BTreeMap, io, os::fd::AsFd as _};

use super::{Error, attach::Hook, clsact, loader::program_name, pins::Pins, xdp};
use crate::sys::link::{self, Target};

/// One attachment, for reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Attached {
    /// The device's name, or `cgroup`.
    pub device: String,
    /// The hook's name: `tcx_ingress`, `xdp`, `clsact_egress`, `cgroup_connect4` and so on.
    pub hook: String,
    /// The program's name.
    pub program: String,
}

/// What is attached according to the pins; `names` are the devices' names by index.
pub fn attached(pins: &Pins, names: &BTreeMap<u32, String>) -> Result<Vec<Attached>, Error> {
    let mut found = Vec::new();
    for pin in pins.link_names()? {
        let Some(hook) = Hook::from_pin(&pin) else { continue };
        let path = pins.link(&pin);
        let info = match link::open(&path).and_then(|link| link::info(link.as_fd())) {
            // Its device went between the list and this look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            info => info.map_err(Error::file(path))?,
        };
        let device = match (hook, info.target) {
            (Hook::Device(..), Target::Device(None)) => continue,
            (Hook::Device(ifindex, _), _) => {
                names.get(&ifindex).cloned().unwrap_or_else(|| ifindex.to_string())
            }
            (Hook::Socket(_), _) => "cgroup".into(),
        };
        let program = program_name(info.program).unwrap_or_default();
        let hook = match hook {
            Hook::Socket(_) => pin,
            Hook::Device(_, side) => format!("tcx_{}", side.as_str()),
        };
        found.push(Attached { device, hook, program });
    }
    found.extend(clsact::attached(pins, names)?);
    found.extend(xdp::attached(pins, names)?);
    found.sort();
    Ok(found)
}
