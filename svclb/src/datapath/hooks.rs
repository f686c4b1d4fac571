//! What is at the hooks besides svclb's programs, and what of svclb's is not there any more.

use std::{collections::BTreeMap, fmt, fs, os::fd::AsFd as _, os::unix::fs::MetadataExt as _, path::Path};

use super::{
    Error,
    attach::{Hook, SOCKET},
    clsact,
    loader::program_name,
    pins::Pins,
    xdp,
};
use crate::{
    cgroup,
    condition::Problem,
    netdev::Network,
    sys::{
        link::{self, Side, Target},
        query,
    },
};

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// Its number.
    pub id: u32,
    /// Its name, where the kernel tells it: that takes `CAP_SYS_ADMIN`.
    pub name: Option<String>,
}

impl Foreign {
    fn new(id: u32) -> Self {
        Self { id, name: program_name(id).filter(|name| !name.is_empty()) }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (number {})", self.id),
            None => write!(f, "program number {}", self.id),
        }
    }
}

/// svclb's own programs that see packets first, under the names that the kernel keeps 15 bytes of.
const OWN: [&str; 4] = ["pod_ingress", "uplink_ingress", "uplink_xdp", "uplink_xdp_page"];
/// How to find out whose a program is.
const WHOSE: &str = "bpftool net show; bpftool link show tell whose it is";
/// How to get one's programs back.
const REATTACH: &str = "restart the agent: it attaches what is missing";

/// The programs that see a packet of a device before svclb's does, first those of XDP.
pub fn in_front(pins: &Pins, network: &Network, ifindex: u32) -> Vec<Foreign> {
    let other_xdp = network.links.get(&ifindex).and_then(|link| link.xdp);
    let other_xdp = other_xdp.filter(|_| !xdp::attached_xdp(pins).contains(&ifindex));
    other_xdp.into_iter().chain(beside(pins, ifindex, Side::Ingress)).map(Foreign::new).collect()
}

/// The numbers of the programs that come between svclb's and the device.
fn beside(pins: &Pins, ifindex: u32, side: Side) -> Vec<u32> {
    let Ok(programs) = query::of_device(ifindex, side) else { return Vec::new() };
    let link = link::open(&pins.link(&Hook::Device(ifindex, side).pin()));
    let own = link.and_then(|link| link::info(link.as_fd())).map(|info| info.program);
    let place = own.ok().and_then(|own| programs.iter().position(|program| *program == own));
    match (side, place) {
        (Side::Ingress, Some(place)) => programs[..place].to_vec(),
        (Side::Egress, Some(place)) => programs[place + 1..].to_vec(),
        // A filter comes behind all of them on the way in, and before none of them on the way out.
        (Side::Ingress, None) => programs,
        (Side::Egress, None) => Vec::new(),
    }
}

/// What is not as an agent has left it, and whose programs come before its own.
pub async fn review(pins: &Pins, network: &Network) -> Result<Vec<Problem>, Error> {
    let names = pins.link_names()?;
    let filters = clsact::missing(pins, network).await?;
    let mut problems: Vec<_> = filters
        .into_iter()
        .map(|place| Problem::error("svclb's filter is gone: somebody has removed it", place, REATTACH))
        .collect();
    let mut devices: BTreeMap<u32, bool> = BTreeMap::new();
    for name in &names {
        if let Some(hook) = Hook::from_pin(name) {
            problems.extend(detached(pins, network, hook)?);
            if let Hook::Device(ifindex, _) = hook {
                devices.insert(ifindex, true);
            }
        } else if let Some((ifindex, _)) = xdp::from_pin(name) {
            problems.extend(is_dead(pins, name, ifindex)?.and_then(|()| {
                let device = &network.links.get(&ifindex)?.name;
                Some(Problem::error("svclb's XDP program is detached", format!("{device} xdp"), REATTACH))
            }));
        } else if let Some(ifindex) = clsact::device_of(name).or_else(|| super::attach::uplink_of(name)) {
            let has_filter = clsact::device_of(name).is_some();
            *devices.entry(ifindex).or_default() |= has_filter;
        }
    }
    for (ifindex, has_programs) in devices {
        let Some(device) = network.links.get(&ifindex) else { continue };
        if !has_programs {
            problems.push(Problem::error("the uplink carries no program of svclb", &*device.name, REATTACH));
        }
        for foreign in in_front(pins, network, ifindex) {
            problems.push(before(&foreign, format!("{} ingress", device.name)));
        }
        for id in beside(pins, ifindex, Side::Egress) {
            let foreign = Foreign::new(id);
            let what = format!("another program sees packets behind svclb's, and may drop them: {foreign}");
            problems.push(Problem::warning(what, format!("{} egress", device.name), WHOSE));
        }
    }
    Ok(problems)
}

/// What to say of a program that comes first.
fn before(foreign: &Foreign, place: String) -> Problem {
    if foreign.name.as_ref().is_some_and(|name| OWN.contains(&name.as_str())) {
        let what = format!("another svclb sees packets before this one: {foreign}");
        let advice =
            "one agent a node: stop the other and clean up with its --bpffs, or wait for an upgrade to end";
        return Problem::warning(what, place, advice);
    }
    let what = format!("another program sees packets before svclb's, and may drop them: {foreign}");
    Problem::warning(what, place, WHOSE)
}

/// What is wrong with the link of a hook.
fn detached(pins: &Pins, network: &Network, hook: Hook) -> Result<Option<Problem>, Error> {
    match hook {
        Hook::Device(ifindex, side) => Ok(is_dead(pins, &hook.pin(), ifindex)?.and_then(|()| {
            let place = format!("{} {}", network.links.get(&ifindex)?.name, side.as_str());
            Some(Problem::error("svclb's program is detached: somebody has removed it", place, REATTACH))
        })),
        Hook::Socket(program) => {
            let path = pins.link(&hook.pin());
            let info =
                link::open(&path).and_then(|link| link::info(link.as_fd())).map_err(Error::file(path))?;
            let is_there = matches!(info.target, Target::Cgroup(group) if group != 0);
            let what = "svclb's program is detached: somebody has removed it";
            if !is_there {
                return Ok(Some(Problem::error(what, format!("cgroup {program}"), REATTACH)));
            }
            Ok(at_sockets(program, info.target, info.program))
        }
    }
}

/// Other programs of the same control group, which may translate or refuse the same calls.
fn at_sockets(program: &str, target: Target, own: u32) -> Option<Problem> {
    let root = cgroup::mount_point().ok()?;
    let kind = SOCKET.iter().find(|(name, _)| *name == program).map(|(_, kind)| *kind)?;
    let is_root = target == Target::Cgroup(inode(&root)?);
    let folder = fs::File::open(root).ok().filter(|_| is_root)?;
    let others = query::of_cgroup(folder.as_fd(), kind).ok()?.into_iter().filter(|id| *id != own);
    let others: Vec<_> = others.map(|id| Foreign::new(id).to_string()).collect();
    let what =
        format!("other programs see the same calls, and may translate or refuse them: {}", others.join(", "));
    (!others.is_empty()).then(|| Problem::warning(what, format!("cgroup {program}"), WHOSE))
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|folder| folder.ino())
}

/// Something, if the link of that pin is not attached to its device any more.
fn is_dead(pins: &Pins, name: &str, ifindex: u32) -> Result<Option<()>, Error> {
    let path = pins.link(name);
    match link::open(&path).and_then(|link| link::info(link.as_fd())) {
        // Its device went between the list and this look.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
        Ok(info) => Ok((info.target != Target::Device(Some(ifindex))).then_some(())),
    }
}
