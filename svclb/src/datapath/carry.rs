//! Taking over from an agent of an older layout, without losing a flow.
//!
//! ```text
//! share   maps that are what they were get a second pin: cells keep their numbers, counters go on
//! fill    what programs look up first is copied
//! ...     this binary's programs are attached right behind the older ones, whose packets they have no part in
//! close   flows are converted and held; the older programs' copies of what is looked up first become empty, so that they
//!         open nothing any more; what they have opened meanwhile is converted, and what has ended is theirs no more
//! empty   all flows are taken out of the older tables: each is theirs that come behind
//! front   XDP links change hands
//! release the older programs go, hook by hook
//! empty   once more, whatever they have done meanwhile
//! forget  the older pins go
//! ```
//!
//! Programs pass on what is not theirs, so between `close` and `release` each packet has one program that knows its
//! flow, at every hook: an old flow's the older one, a new flow's the one behind. No hook has to change at the same
//! moment as another. `flows` says what keeps the tuples of both apart.
//!
//! Each step may be done again, and an agent that starts in the middle does all of them: what is over stays as it is.
//!
//! | module | noun |
//! |---|---|
//! | `fate` | what becomes of each map of an older layout |
//! | `flows` | flows on their way from one layout's tables to another's |
//! | `gate` | what programs look up before they open a flow |
//! | `links` | the older programs' links |
//! | `v5` | layout 5, as it was |

mod fate;
mod flows;
mod gate;
mod links;
mod v5;

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::maps::MapInfo;
use svclb_common::layout::LAYOUT_VERSION;

pub use self::{fate::Fate, flows::Moved};
use self::{
    flows::Pass,
    gate::{close_all, fill_all},
    links::OlderLinks,
};
use super::{
    Error,
    attach::Hook,
    clsact::mark,
    counters::take_over_drops,
    object::{Capacities, check_map, names, shapes},
    pins::Pins,
    tables::{Tables, disown},
    xdp::attached_xdp,
};
use crate::sys::{grace, mapped::Access};

/// A layout whose flows this binary can take over.
#[derive(Clone, Copy, Debug)]
struct Carried {
    version: u32,
    fate: fn(&str) -> Fate,
    flows: fn(&Pins, &Pins, Pass) -> Result<Moved, Error>,
}

/// All of them. Who raises [`LAYOUT_VERSION`] adds the one before, with what has changed since, or says in
/// [`GIVEN_UP`] why not.
const CARRIED: [Carried; 1] = [Carried { version: 5, fate: v5::fate, flows: v5::flows }];

/// Layouts that no release has had, or that are too old: their flows end with `svclb cleanup`.
const GIVEN_UP: [u32; 4] = [1, 2, 3, 4];

/// The folder that says that `fill` is done, beside the maps.
const FILLED: &str = "filled";

/// An older agent's pins, and what is to become of them.
pub struct Carry {
    older: Pins,
    own: Pins,
    layout: Carried,
    links: OlderLinks,
    is_in_front: bool,
}

/// Looks whether what is pinned can be used or taken over, before anything is written.
pub fn check(pins: &Pins, capacities: &Capacities) -> Result<(), Error> {
    super::object::check_pinned(pins, capacities)?;
    Carry::find(pins, capacities).map(drop)
}

impl Carry {
    /// The older agent's pins, if there are any. An error if they cannot be taken over, or are newer ones.
    pub fn find(own: &Pins, capacities: &Capacities) -> Result<Option<Self>, Error> {
        let mut versions = own.versions()?;
        versions.remove(&own.version());
        let Some(&found) = versions.last() else { return Ok(None) };
        let (root, own_version) = (own.root().to_owned(), own.version());
        if found > own_version {
            return Err(Error::NewerLayout { root, found, own: own_version });
        }
        // Of two older ones nobody knows whose flows are whose.
        let oldest = *versions.first().unwrap_or(&found);
        let Some(layout) = CARRIED.into_iter().find(|layout| layout.version == oldest && oldest == found)
        else {
            return Err(Error::OlderLayout { root, found: oldest, own: own_version });
        };
        let older = own.at(found);
        let links = OlderLinks::open(&older)?;
        let carry = Self { older, own: own.clone(), layout, links, is_in_front: false };
        carry.check(capacities)?;
        Ok(Some(carry))
    }

    /// Compares the maps that are to be shared with what this binary needs, and with what it has already.
    fn check(&self, capacities: &Capacities) -> Result<(), Error> {
        let shapes = shapes(capacities)?;
        for name in self.shared() {
            let (older, own) = (self.older.map(&name), self.own.map(&name));
            if let Some(wanted) = shapes.get(&name) {
                check_map(&name, older.clone(), wanted, |_| false)?;
            }
            if own.exists() && id(&name, &older)? != id(&name, &own)? {
                return Err(Error::TwoTables { older, own });
            }
        }
        Ok(())
    }

    /// Names of maps that are used as they are, as far as the older agent has made them.
    fn shared(&self) -> impl Iterator<Item = String> {
        names().filter(|name| (self.layout.fate)(base(name)) == Fate::Shared && self.older.map(name).exists())
    }

    /// The older layout.
    pub fn version(&self) -> u32 {
        self.layout.version
    }

    /// Pins maps a second time, before the programs are loaded over them.
    pub fn share(&self) -> Result<(), Error> {
        // What the older agent has said of its tables is not to be taken for this one's word.
        disown(&self.older)?;
        for name in self.shared() {
            let own = self.own.map(&name);
            if !own.exists() {
                fs::hard_link(self.older.map(&name), &own).map_err(Error::file(own))?;
            }
        }
        Ok(())
    }

    /// Fills the maps that are not shared, once the programs are loaded, and takes over what is kept beside maps: what
    /// the older agent knew of devices and sysctls, and the links of its socket programs, which have their state in
    /// shared maps.
    ///
    /// Flows are the older programs' alone until they are closed: a copy would only keep tuples from their next ones.
    pub fn fill(&self) -> Result<(), Error> {
        let filled = self.own.layout().join(FILLED);
        if !filled.exists() {
            fill_all(&self.older, &self.own)?;
            take_over_drops(&self.older, &self.own)?;
            Tables::open(&self.own, Access::Write)?.recount_frontends()?;
            fs::create_dir(&filled).map_err(Error::file(filled))?;
        }
        for name in self.older.link_names()? {
            if name.starts_with("uplink_") || name.starts_with("qdisc_") {
                mark(&self.own, &name)?;
            }
        }
        rename(&self.older.layout().join("loopback"), &self.own.layout().join("loopback"))?;
        links::hand_over(&self.older, &self.own, "cgroup_")?;
        tracing::info!("taking over from the agent of layout {}", self.layout.version);
        Ok(())
    }

    /// The link of the older program at a hook, as long as it is attached: whoever comes is to be behind it.
    pub fn link(&self, hook: Hook) -> Option<BorrowedFd<'_>> {
        self.links.at(hook).map(|link| link.as_fd())
    }

    /// Devices that have an older program.
    pub fn devices(&self) -> impl Iterator<Item = u32> {
        self.links.devices()
    }

    /// Converts the flows, and keeps the older programs from opening more: they find no Service any more.
    pub fn close(&self) -> Result<Moved, Error> {
        // Most of them before, so that little is opened between the last look at a flow and the end.
        let moved = self.flows(Pass::Hold)?;
        close_all(&self.older)?;
        grace::wait();
        Ok(moved.and(self.flows(Pass::TakeEnded)?))
    }

    /// Takes the flows out of the older tables, and notes what the older programs have seen of them.
    pub fn empty(&self) -> Result<Moved, Error> {
        self.flows(Pass::TakeAll)
    }

    fn flows(&self, pass: Pass) -> Result<Moved, Error> {
        (self.layout.flows)(&self.older, &self.own, pass)
    }

    /// Hands over the links of XDP programs. Where both kinds are attached, those of devices do without.
    pub fn front(&mut self) -> Result<(), Error> {
        links::hand_over(&self.older, &self.own, "xdp_")?;
        self.is_in_front = true;
        Ok(())
    }

    /// Whether XDP programs of this agent may come: those see a packet first, so they have to know every flow.
    pub fn is_in_front(&self) -> bool {
        self.is_in_front
    }

    /// Devices with an XDP program of the older agent's.
    pub fn xdp_devices(&self) -> BTreeSet<u32> {
        attached_xdp(&self.older)
    }

    /// Takes the older programs away from devices.
    pub fn release(&mut self) -> Result<(), Error> {
        self.links.release(&self.older)?;
        grace::wait();
        Ok(())
    }

    /// Removes what is left of the older pins.
    pub fn forget(self) -> Result<(), Error> {
        super::cleanup::remove_tree(&self.older.layout()).map_err(Error::file(self.older.layout()))?;
        let filled = self.own.layout().join(FILLED);
        match fs::remove_dir(&filled) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(filled)(error)),
            _ => Ok(()),
        }
    }
}

/// The name of a map without its family.
fn base(name: &str) -> &str {
    name.strip_suffix("_V4").or_else(|| name.strip_suffix("_V6")).unwrap_or(name)
}

fn id(name: &str, pin: &Path) -> Result<u32, Error> {
    MapInfo::from_pin(pin).map(|info| info.id()).map_err(|error| Error::map(name, &error))
}

/// Moves a pin or a folder of them, in one step; what is gone has been moved before.
fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(from)(error)),
        _ => Ok(()),
    }
}

const fn is_decided(version: u32) -> bool {
    let mut at = 0;
    while at < CARRIED.len() {
        if CARRIED[at].version == version {
            return true;
        }
        at += 1;
    }
    let mut at = 0;
    while at < GIVEN_UP.len() {
        if GIVEN_UP[at] == version {
            return true;
        }
        at += 1;
    }
    false
}

// Flows of the layout before are somebody's: what becomes of them is to be decided.
const _: () = assert!(is_decided(LAYOUT_VERSION - 1));

#[cfg(test)]
mod tests {
    use super::*;

    fn root(versions: &[u32]) -> (tempfile::TempDir, Pins) {
        let root = tempfile::tempdir().unwrap();
        let pins = Pins::new(root.path());
        for version in versions {
            fs::create_dir_all(pins.at(*version).maps()).unwrap();
        }
        (root, pins)
    }

    #[test]
    fn only_a_layout_that_is_known_is_taken_over() {
        let own = LAYOUT_VERSION;
        let table: [(&[u32], &str); 8] = [
            (&[], "none"),
            (&[own], "none"),
            (&[5], "5"),
            (&[5, own], "5"),
            (&[own, own + 1], "newer"),
            (&[5, 99], "newer"),
            (&[4], "4 is too old"),
            (&[4, 5], "4 is too old"),
        ];
        for (there, expected) in table {
            let (_root, pins) = root(there);
            let found = match Carry::find(&pins, &Capacities::new()) {
                Ok(None) => "none".into(),
                Ok(Some(carry)) => carry.version().to_string(),
                Err(Error::NewerLayout { .. }) => "newer".into(),
                Err(Error::OlderLayout { found, .. }) => format!("{found} is too old"),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{there:?}");
        }
    }

    #[test]
    fn every_layout_before_is_decided_once() {
        for version in 1..LAYOUT_VERSION {
            let carried = CARRIED.iter().filter(|layout| layout.version == version).count();
            let given_up = GIVEN_UP.iter().filter(|given_up| **given_up == version).count();
            assert_eq!(carried + given_up, 1, "layout {version}");
        }
    }

    #[test]
    fn what_is_opened_anew_is_never_shared() {
        use svclb_common::layout::map;
        for layout in CARRIED {
            for name in gate::MAPS {
                assert_eq!((layout.fate)(name), Fate::Copied, "{name} of layout {}", layout.version);
            }
            for name in [map::FLOW_FILTER, map::FLOW_ERAS, map::STRANGERS, map::XDP_UPLINKS] {
                assert_eq!((layout.fate)(name), Fate::Fresh, "{name} of layout {}", layout.version);
            }
            // Sockets are translated by one program of both layouts at a time, over the same memory.
            assert_eq!((layout.fate)(map::SOCKETS), Fate::Shared, "layout {}", layout.version);
        }
    }
}
