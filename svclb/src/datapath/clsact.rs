//! Attachment for kernels without TCX: filters of the clsact queueing discipline.
//!
//! Filters are not files, so nothing of them can be pinned. A folder beside the
//! pinned links stands for each; it says what to replace and what to remove.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use aya::programs::{
    Link, Program, SchedClassifier, TcAttachType,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};
use netlink_packet_route::tc::TcHandle as QdiscHandle;
use nix::net::if_::if_nametoindex;

use super::{
    Error,
    attach::{Attached, attach_error},
    error::chain,
    loader::Programs,
    pins::Pins,
};
use crate::{
    netdev::{Births, Network, device_names},
    sys::link::Side,
};

/// Before the filters of others, which usually start at 1 with `tc`'s own default far above.
const PRIORITY: u16 = 1;

/// Our filter at that priority. Each layout's is another one: while one takes over from another, both are there, and the
/// kernel asks the one first that came first. Those up to layout 5 had the first number.
fn handle(version: u32) -> TcHandle {
    const FIRST: u16 = 0x5c1b;
    TcHandle::new(
        0,
        u16::try_from(version.saturating_sub(5)).map_or(FIRST, |later| FIRST.wrapping_add(later)),
    )
}

/// The filters of this agent.
#[derive(Default)]
pub struct Filters {
    /// Device, side and program.
    attached: BTreeMap<(u32, bool), String>,
    /// Filters of an earlier agent, whose program is to be replaced.
    adopted: BTreeSet<(u32, bool)>,
    /// Devices that had no clsact before.
    qdiscs: BTreeSet<u32>,
    /// Which devices the filters were attached to.
    births: Births,
}

fn is_ingress(side: Side) -> bool {
    side == Side::Ingress
}

fn attach_type(ingress: bool) -> TcAttachType {
    if ingress { TcAttachType::Ingress } else { TcAttachType::Egress }
}

/// A BPF file system takes no name with a dot in it.
fn marker(ifindex: u32, ingress: bool, program: &str) -> String {
    format!("clsact_{ifindex}_{}_{program}", if ingress { "ingress" } else { "egress" })
}

fn parse_marker(name: &str) -> Option<(u32, bool, &str)> {
    let mut parts = name.strip_prefix("clsact_")?.splitn(3, '_');
    let ifindex = parts.next()?.parse().ok()?;
    let ingress = match parts.next()? {
        "ingress" => true,
        "egress" => false,
        _ => return None,
    };
    Some((ifindex, ingress, parts.next()?))
}

fn qdisc_marker(ifindex: u32) -> String {
    format!("qdisc_{ifindex}")
}

fn parse_qdisc_marker(name: &str) -> Option<u32> {
    name.strip_prefix("qdisc_")?.parse().ok()
}

impl Filters {
    /// What an earlier agent attached.
    pub(super) fn adopt(pins: &Pins) -> Result<Self, Error> {
        let mut filters = Self::default();
        for name in pins.link_names()? {
            if let Some((ifindex, ingress, program)) = parse_marker(&name) {
                filters.attached.insert((ifindex, ingress), program.to_owned());
                filters.adopted.insert((ifindex, ingress));
            } else if let Some(ifindex) = parse_qdisc_marker(&name) {
                filters.qdiscs.insert(ifindex);
            }
        }
        Ok(filters)
    }

    /// Whether a filter with that program of this agent is attached.
    pub(super) fn contains(&self, ifindex: u32, side: Side, program: &str) -> bool {
        let key = (ifindex, is_ingress(side));
        self.attached.get(&key).is_some_and(|attached| attached == program) && !self.adopted.contains(&key)
    }

    /// Devices whose filters an agent attached as an uplink's.
    pub(super) fn uplinks(&self) -> impl Iterator<Item = u32> {
        let uplinks = self.attached.iter().filter(|(_, program)| program.starts_with("uplink"));
        uplinks.map(|((ifindex, _), _)| *ifindex)
    }

    /// Whether both sides have a filter of this agent or an earlier one.
    pub(super) fn carries(&self, ifindex: u32) -> bool {
        [true, false].iter().all(|ingress| self.attached.contains_key(&(ifindex, *ingress)))
    }

    /// Filters of a device went with it, and are due on the next one that has its index.
    pub(super) fn follow(&mut self, births: &Births) {
        let is_other = |ifindex: u32| births.of(ifindex) != self.births.of(ifindex);
        self.adopted.extend(self.attached.keys().filter(|(ifindex, _)| is_other(*ifindex)));
        self.births.clone_from(births);
    }

    /// Attaches a filter, in place of an earlier agent's if there is one.
    pub(super) fn attach(
        &mut self,
        pins: &Pins,
        programs: &mut Programs,
        program: &'static str,
        (ifindex, device): (u32, &str),
        side: Side,
    ) -> Result<(), Error> {
        let ingress = is_ingress(side);
        // Filters are attached by name, which another device may have by now.
        if if_nametoindex(device) != Ok(ifindex) {
            return Err(attach_error(program, device, &io::Error::other("no such device any more")));
        }
        // One that is there already is somebody else's, or ours from before.
        if tc::qdisc_add_clsact(device).is_ok() {
            mark(pins, &qdisc_marker(ifindex))?;
            self.qdiscs.insert(ifindex);
        }
        let Program::SchedClassifier(classifier) = programs.program_mut(program)? else {
            return Err(attach_error(program, device, &io::Error::other("it is no classifier")));
        };
        // Marked first: a filter that nobody knows of could never be removed.
        mark(pins, &marker(ifindex, ingress, program))?;
        let handle = handle(pins.version());
        if !replace(classifier, device, ingress, handle) {
            let options =
                TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, ..NlOptions::default() });
            match classifier.attach_with_options(device, attach_type(ingress), options) {
                Ok(id) => keep(classifier, id),
                Err(error) => {
                    if self.attached.get(&(ifindex, ingress)).is_none_or(|attached| attached != program) {
                        unmark(pins, &marker(ifindex, ingress, program))?;
                    }
                    return Err(attach_error(program, device, &io::Error::other(chain(&error))));
                }
            }
        }
        self.adopted.remove(&(ifindex, ingress));
        if let Some(old) = self.attached.insert((ifindex, ingress), program.to_owned())
            && old != program
        {
            unmark(pins, &marker(ifindex, ingress, &old))?;
        }
        Ok(())
    }

    /// Devices that have a filter.
    pub(super) fn devices(&self) -> impl Iterator<Item = u32> {
        self.attached.keys().map(|(ifindex, _)| *ifindex)
    }

    /// Removes all filters of these pins' layout, and none of another one that is beside them.
    pub(super) fn release(&mut self, pins: &Pins) -> Result<(), Error> {
        let names = device_names();
        while let Some(((ifindex, ingress), program)) = self.attached.pop_first() {
            if let Some(device) = names.get(&ifindex) {
                let side = attach_type(ingress);
                let link =
                    SchedClassifierLink::attached(device, side, PRIORITY, handle(pins.version()), None);
                // Gone with its device, or taken away by somebody else: both are what we want.
                let _gone = link.map(Link::detach);
            }
            unmark(pins, &marker(ifindex, ingress, &program))?;
        }
        Ok(())
    }

    /// Removes the filters of devices that are not wanted.
    pub(super) async fn retain(&mut self, pins: &Pins, wanted: impl Fn(u32) -> bool) -> Result<(), Error> {
        let names = device_names();
        let unwanted: Vec<_> =
            self.attached.keys().filter(|(ifindex, _)| !wanted(*ifindex)).copied().collect();
        for (ifindex, ingress) in unwanted {
            let Some(program) = self.attached.remove(&(ifindex, ingress)) else { continue };
            self.adopted.remove(&(ifindex, ingress));
            if let Some(device) = names.get(&ifindex) {
                // Gone with its device, or taken away by somebody else: both are what we want.
                let _gone = tc::qdisc_detach_program(device, attach_type(ingress), &program);
            }
            unmark(pins, &marker(ifindex, ingress, &program))?;
        }
        let unwanted: Vec<_> = self.qdiscs.iter().filter(|ifindex| !wanted(**ifindex)).copied().collect();
        for ifindex in unwanted {
            self.qdiscs.remove(&ifindex);
            if names.contains_key(&ifindex) {
                remove_qdisc(ifindex).await;
            }
            unmark(pins, &qdisc_marker(ifindex))?;
        }
        Ok(())
    }
}

/// Replaces the program of our filter; false if there is none.
fn replace(classifier: &mut SchedClassifier, device: &str, ingress: bool, handle: TcHandle) -> bool {
    let Ok(link) = SchedClassifierLink::attached(device, attach_type(ingress), PRIORITY, handle, None) else {
        return false;
    };
    match classifier.attach_to_link(link) {
        Ok(id) => {
            keep(classifier, id);
            true
        }
        Err(_) => false,
    }
}

/// Leaves the filter in place when this process ends: aya detaches what it drops.
fn keep(classifier: &mut SchedClassifier, id: tc::SchedClassifierLinkId) {
    if let Ok(link) = classifier.take_link(id) {
        std::mem::forget(link);
    }
}

pub(super) fn mark(pins: &Pins, name: &str) -> Result<(), Error> {
    let path = pins.link(name);
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn unmark(pins: &Pins, name: &str) -> Result<(), Error> {
    let path = pins.link(name);
    match fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

/// Removes the clsact of a device, unless somebody else's filters are in it: then the
/// kernel would remove those as well, so it stays.
async fn remove_qdisc(ifindex: u32) {
    let Ok((connection, handle, _)) = rtnetlink::new_connection() else { return };
    let serving = tokio::spawn(connection);
    let Ok(index) = i32::try_from(ifindex) else { return };
    if !has_filters(&handle, index).await {
        let mut request = handle.qdisc().del(index);
        request.message_mut().header.parent = QdiscHandle::CLSACT;
        request.message_mut().header.handle = QdiscHandle { major: 0xffff, minor: 0 };
        if let Err(error) = request.execute().await {
            tracing::debug!(ifindex, "clsact stays: {error}");
        }
    }
    serving.abort();
}

async fn has_filters(handle: &rtnetlink::Handle, index: i32) -> bool {
    use futures::TryStreamExt as _;
    let mut filters = handle.traffic_filter(index);
    for request in [filters.get().ingress(), filters.get().egress()] {
        if matches!(request.execute().try_next().await, Ok(Some(_))) {
            return true;
        }
    }
    false
}

/// The filters according to their markers.
pub(super) fn attached(pins: &Pins, names: &BTreeMap<u32, String>) -> Result<Vec<Attached>, Error> {
    let markers = pins.link_names()?;
    let filters = markers.iter().filter_map(|marker| parse_marker(marker));
    Ok(filters
        .filter_map(|(ifindex, ingress, program)| {
            let device = names.get(&ifindex)?.clone();
            let hook = if ingress { "clsact_ingress" } else { "clsact_egress" };
            Some(Attached { device, hook: hook.into(), program: program.into() })
        })
        .collect())
}

/// The device that a marker of that name is for.
pub(super) fn device_of(name: &str) -> Option<u32> {
    parse_marker(name).map(|(ifindex, _, _)| ifindex)
}

/// Where filters have been attached, and none is: device and side.
pub(super) async fn missing(pins: &Pins, network: &Network) -> Result<Vec<String>, Error> {
    let markers = pins.link_names()?;
    let mut missing = Vec::new();
    for (ifindex, ingress, _) in markers.iter().filter_map(|name| parse_marker(name)) {
        let Some(device) = network.links.get(&ifindex) else { continue };
        // Not by aya's link, which takes the filter away when it is dropped.
        if is_there(ifindex, ingress).await == Some(false) {
            missing.push(format!("{} {}", device.name, if ingress { "ingress" } else { "egress" }));
        }
    }
    Ok(missing)
}

/// Whether a side of a device has any filter, if the kernel tells.
async fn is_there(ifindex: u32, ingress: bool) -> Option<bool> {
    use futures::TryStreamExt as _;
    let (connection, handle, _) = rtnetlink::new_connection().ok()?;
    let serving = tokio::spawn(connection);
    let mut filters = handle.traffic_filter(i32::try_from(ifindex).ok()?);
    let request = if ingress { filters.get().ingress() } else { filters.get().egress() };
    let found = request.execute().try_next().await;
    serving.abort();
    found.ok().map(|filter| filter.is_some())
}
