//! What the agent knows of the node's network: devices, addresses and default
//! routes, as the kernel announces them.
//!
//! [`watch()`] follows one network namespace, the one of the calling thread;
//! [`roles`] decides, without asking anybody, which devices carry programs, and
//! [`decide_xdp`] which of these take packets before the stack does.

mod births;
mod change;
mod dump;
mod features;
pub(crate) mod glob;
mod link;
mod role;
mod room;
mod watch;
mod ways;
mod xdp;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub use self::{
    births::Births,
    features::{Features, features},
    link::{Link, LinkKind},
    role::{LeftOut, Role, Roles, Wanted, roles},
    room::{lacks_room, room},
    watch::watch,
    ways::Ways,
    xdp::{NoXdp, XdpFacts, XdpHook, XdpMode, decide as decide_xdp, xdp_facts},
};

/// The node's network at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The devices by interface index.
    pub links: BTreeMap<u32, Link>,
    /// The addresses this node answers on, each with its device, from the
    /// moment the kernel tells of them: a tentative IPv6 address is the node's
    /// too.
    pub addresses: BTreeSet<(u32, IpAddr)>,
    /// The devices that default routes of the main table leave by. Other
    /// tables belong to VPNs and meshes, whose devices face no outside client.
    pub default_routes: BTreeSet<u32>,
    /// Which device an index stands for.
    pub births: Births,
}

/// Names of the devices of this network namespace, by index; for those who only look once.
pub fn device_names() -> BTreeMap<u32, String> {
    nix::net::if_::if_nameindex().map_or_else(
        |_| BTreeMap::new(),
        |devices| {
            devices
                .iter()
                .map(|device| (device.index(), device.name().to_string_lossy().into_owned()))
                .collect()
        },
    )
}

/// Why the node's network cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink socket is to be had.
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    /// The kernel refused to list something.
    #[error("cannot list the node's {what}")]
    Dump {
        /// What was asked for.
        what: &'static str,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// The kernel did not finish a list.
    #[error("the list of the node's {what} did not arrive in time")]
    Late {
        /// What was asked for.
        what: &'static str,
    },
    /// Notifications came faster than they were read, and some are lost.
    #[error("network notifications were lost")]
    Overrun,
    /// The netlink socket broke.
    #[error("the netlink socket was closed")]
    Closed,
}
