//! Which programs are attached where.
//!
//! Every link is pinned under a name that says what it is, so that a new agent finds
//! what an earlier one attached, replaces the programs in place, and removes what is
//! not wanted any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
};

use aya_obj::generated::bpf_attach_type;

pub use super::attached::{Attached, attached};
use super::{
    Error,
    carry::Carry,
    clsact::{self, mark, unmark},
    loader::Programs,
    pins::Pins,
    refusals::Refusals,
    xdp::{WantedXdp, XdpLinks},
};
use crate::{
    netdev::{Births, Role},
    sys::link::{self, Side, Target},
};

/// What a link connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A socket call below the cgroup: the program's name.
    Socket(&'static str),
    /// A side of a device.
    Device(u32, Side),
}

/// The socket programs with their hooks.
pub(super) const SOCKET: [(&str, bpf_attach_type); 8] = [
    ("connect4", bpf_attach_type::BPF_CGROUP_INET4_CONNECT),
    ("connect6", bpf_attach_type::BPF_CGROUP_INET6_CONNECT),
    ("sendmsg4", bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG),
    ("sendmsg6", bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG),
    ("recvmsg4", bpf_attach_type::BPF_CGROUP_UDP4_RECVMSG),
    ("recvmsg6", bpf_attach_type::BPF_CGROUP_UDP6_RECVMSG),
    ("getpeername4", bpf_attach_type::BPF_CGROUP_INET4_GETPEERNAME),
    ("getpeername6", bpf_attach_type::BPF_CGROUP_INET6_GETPEERNAME),
];

impl Side {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl Hook {
    /// The name of the link's pin.
    pub(super) fn pin(self) -> String {
        match self {
            Self::Socket(program) => format!("cgroup_{program}"),
            Self::Device(ifindex, side) => format!("tcx_{}_{ifindex}", side.as_str()),
        }
    }

    /// The hook that a pin's name stands for.
    pub(super) fn from_pin(name: &str) -> Option<Self> {
        if let Some(program) = name.strip_prefix("cgroup_") {
            return SOCKET.iter().find(|(name, _)| *name == program).map(|(name, _)| Self::Socket(name));
        }
        let (side, ifindex) = name.strip_prefix("tcx_")?.split_once('_')?;
        let side = [Side::Ingress, Side::Egress].into_iter().find(|known| known.as_str() == side)?;
        Some(Self::Device(ifindex.parse().ok()?, side))
    }
}

/// What is to be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The cgroup of the socket programs; none where they are off.
    pub cgroup: Option<PathBuf>,
    /// Devices by index, with their name and what is behind them.
    pub devices: BTreeMap<u32, (String, Role)>,
    /// Devices that are to take packets before the stack does, by index.
    pub xdp: BTreeMap<u32, WantedXdp>,
    /// The loopback device, where host processes are translated per packet.
    pub loopback: bool,
    /// Which devices these indices stand for: what is on one is not on another that has its index.
    pub births: Births,
}

/// How programs are attached to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TcMode {
    /// TCX where the kernel has it, else clsact.
    #[default]
    Auto,
    /// TCX links (Linux 6.6).
    Tcx,
    /// Filters of the clsact queueing discipline.
    Clsact,
}

/// The index of the loopback device in every network namespace.
const LOOPBACK: u32 = 1;

/// A pinned link.
struct Link {
    fd: OwnedFd,
    /// The program that this agent put there; none while an earlier agent's runs.
    program: Option<&'static str>,
}

/// What is attached by this agent.
pub struct Attachments {
    pins: Pins,
    mode: TcMode,
    links: BTreeMap<Hook, Link>,
    filters: clsact::Filters,
    xdp: XdpLinks,
    failed: Refusals,
}

impl Attachments {
    /// Takes over what is pinned. Programs are replaced by [`apply`](Self::apply).
    pub fn adopt(pins: &Pins, mode: TcMode) -> Result<Self, Error> {
        let mut links = BTreeMap::new();
        for name in pins.link_names()? {
            if let Some(hook) = Hook::from_pin(&name) {
                let path = pins.link(&name);
                let fd = link::open(&path).map_err(Error::file(path))?;
                links.insert(hook, Link { fd, program: None });
            }
        }
        let filters = clsact::Filters::adopt(pins)?;
        let xdp = XdpLinks::adopt(pins)?;
        Ok(Self { pins: pins.clone(), mode, links, filters, xdp, failed: Refusals::default() })
    }

    /// Attaches what is wanted and not attached, detaches what is attached and not
    /// wanted. A device that refuses is reported once and does not keep the others.
    ///
    /// As long as an older agent's programs are there, those of devices come right behind them, and XDP programs wait.
    pub async fn apply(
        &mut self,
        programs: &mut Programs,
        wanted: &Wanted,
        older: Option<&Carry>,
    ) -> Result<(), Error> {
        self.drop_dead(wanted)?;
        let takes_xdp = older.is_none_or(Carry::is_in_front);
        if takes_xdp {
            self.xdp.detach(&wanted.xdp)?;
        }
        self.detach_unwanted(wanted).await?;
        self.filters.follow(&wanted.births);
        let sockets = self.attach_sockets(programs, wanted);
        self.failed.retain(|ifindex| wanted.role(ifindex).is_some());
        for (ifindex, name, role) in wanted.roles() {
            let outcome = self.attach_device(programs, older, (ifindex, name, role));
            self.failed.note((ifindex, name), outcome);
        }
        if !takes_xdp {
            return sockets;
        }
        let carried = wanted.xdp.iter().filter(|(ifindex, _)| self.carries(**ifindex));
        let carried = carried.map(|(ifindex, device)| (*ifindex, device.clone())).collect();
        self.xdp.attach(programs, &carried);
        self.xdp.connect().and(sockets)
    }

    fn attach_sockets(&mut self, programs: &Programs, wanted: &Wanted) -> Result<(), Error> {
        if let Some(cgroup) = &wanted.cgroup {
            let folder = File::open(cgroup).map_err(Error::file(cgroup))?;
            for (program, kind) in SOCKET {
                if self.follow(programs, Hook::Socket(program), program)? {
                    continue;
                }
                let link = link::attach_cgroup(programs.fd(program)?.as_fd(), folder.as_fd(), kind)
                    .map_err(|error| attach_error(program, &cgroup.display().to_string(), &error))?;
                self.keep(Hook::Socket(program), program, link)?;
            }
        }
        Ok(())
    }

    /// Devices that an earlier agent took for uplinks. It has marked them, because asking the kernel for a program
    /// by its number takes more capabilities than the agent otherwise needs.
    pub fn uplinks(&self) -> BTreeSet<u32> {
        let marked = self.pins.link_names().unwrap_or_default();
        let marked = marked.iter().filter_map(|name| uplink_of(name));
        // Another device may have the index of one that went while nobody ran.
        marked.chain(self.filters.uplinks()).filter(|ifindex| !self.is_dead(*ifindex)).collect()
    }

    /// Whether there is a program of this agent behind each older one that is wanted.
    pub fn are_behind(&self, older: &Carry, wanted: &Wanted) -> bool {
        older.devices().all(|ifindex| wanted.role(ifindex).is_none() || self.carries(ifindex))
    }

    /// Takes over XDP links that have been pinned since.
    pub fn adopt_xdp(&mut self) -> Result<(), Error> {
        self.xdp = XdpLinks::adopt(&self.pins)?;
        Ok(())
    }

    /// Whether a device carries programs on both sides.
    pub fn carries(&self, ifindex: u32) -> bool {
        let linked = |side| self.links.contains_key(&Hook::Device(ifindex, side));
        linked(Side::Ingress) && linked(Side::Egress) || self.filters.carries(ifindex)
    }

    /// Whether programs are attached to socket calls.
    pub fn has_sockets(&self) -> bool {
        self.links.keys().any(|hook| matches!(hook, Hook::Socket(_)))
    }

    fn is_dead(&self, ifindex: u32) -> bool {
        let link = self.links.get(&Hook::Device(ifindex, Side::Ingress));
        let target = |link: &Link| link::info(link.fd.as_fd()).map(|info| info.target);
        link.is_some_and(|link| !target(link).is_ok_and(|found| found == Target::Device(Some(ifindex))))
    }

    /// Devices that have refused, with the line that was told of each.
    pub fn refusals(&self) -> impl Iterator<Item = (u32, &str)> {
        self.failed.iter()
    }

    /// Whether a wanted device has refused, and another attempt is worth while.
    pub fn is_incomplete(&self) -> bool {
        !self.failed.is_empty()
    }

    fn attach_device(
        &mut self,
        programs: &mut Programs,
        older: Option<&Carry>,
        (ifindex, name, role): (u32, &str, Role),
    ) -> Result<(), Error> {
        match role {
            Role::Uplink => mark(&self.pins, &uplink_marker(ifindex))?,
            Role::Pod => unmark(&self.pins, &uplink_marker(ifindex))?,
        }
        // Replies must find their program before the first request is translated.
        for side in [Side::Egress, Side::Ingress] {
            let program = program_for(role, side);
            if self.follow(programs, Hook::Device(ifindex, side), program)?
                || self.filters.contains(ifindex, side, program)
            {
                continue;
            }
            if self.mode != TcMode::Clsact {
                let first = older.and_then(|older| older.link(Hook::Device(ifindex, side)));
                match link::attach_tcx(programs.fd(program)?.as_fd(), ifindex, side, first) {
                    Ok(link) => {
                        self.keep(Hook::Device(ifindex, side), program, link)?;
                        continue;
                    }
                    Err(error) if self.mode == TcMode::Auto && lacks_tcx(&error) => {
                        tracing::info!("this kernel has no TCX: programs are attached as clsact filters");
                        self.mode = TcMode::Clsact;
                    }
                    Err(error) => return Err(attach_error(program, name, &error)),
                }
            }
            self.filters.attach(&self.pins, programs, program, (ifindex, name), side)?;
        }
        Ok(())
    }

    /// Puts `program` into the link of `hook`, if there is one with another program: an
    /// earlier agent's, or that of another role of the device. False without a link.
    fn follow(&mut self, programs: &Programs, hook: Hook, program: &'static str) -> Result<bool, Error> {
        let Some(link) = self.links.get_mut(&hook) else { return Ok(false) };
        if link.program != Some(program) {
            link::update(link.fd.as_fd(), programs.fd(program)?.as_fd())
                .map_err(|error| attach_error(program, &hook.pin(), &error))?;
            link.program = Some(program);
        }
        Ok(true)
    }

    fn keep(&mut self, hook: Hook, program: &'static str, fd: OwnedFd) -> Result<(), Error> {
        let path = self.pins.link(&hook.pin());
        link::pin(fd.as_fd(), &path).map_err(Error::file(path))?;
        self.links.insert(hook, Link { fd, program: Some(program) });
        Ok(())
    }

    /// Forgets links whose device is gone, or whose cgroup is another one than wanted.
    fn drop_dead(&mut self, wanted: &Wanted) -> Result<(), Error> {
        // A folder that cannot be looked at is told of when it is attached to.
        let cgroup =
            wanted.cgroup.as_ref().and_then(|path| fs::metadata(path).ok()).map(|folder| folder.ino());
        let dead: Vec<_> = self
            .links
            .iter()
            .filter(|(hook, link)| match (hook, link::info(link.fd.as_fd()).map(|info| info.target)) {
                (Hook::Device(ifindex, _), Ok(Target::Device(found))) => found != Some(*ifindex),
                (Hook::Socket(_), Ok(Target::Cgroup(found))) => Some(found) != cgroup,
                _ => true,
            })
            .map(|(hook, _)| *hook)
            .collect();
        dead.into_iter().try_for_each(|hook| self.detach(hook))
    }

    /// Takes away everything.
    pub(super) async fn detach_all(&mut self) -> Result<(), Error> {
        self.xdp.detach(&BTreeMap::new())?;
        self.detach_unwanted(&Wanted::default()).await
    }

    async fn detach_unwanted(&mut self, wanted: &Wanted) -> Result<(), Error> {
        let unwanted: Vec<_> = self
            .links
            .keys()
            .filter(|hook| match hook {
                Hook::Socket(_) => wanted.cgroup.is_none(),
                Hook::Device(ifindex, _) => wanted.role(*ifindex).is_none(),
            })
            .copied()
            .collect();
        unwanted.into_iter().try_for_each(|hook| self.detach(hook))?;
        for name in self.pins.link_names()? {
            if uplink_of(&name).is_some_and(|ifindex| wanted.role(ifindex).is_none()) {
                unmark(&self.pins, &name)?;
            }
        }
        self.filters.retain(&self.pins, |ifindex| wanted.role(ifindex).is_some()).await
    }

    fn detach(&mut self, hook: Hook) -> Result<(), Error> {
        self.links.remove(&hook);
        let path = self.pins.link(&hook.pin());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
            _ => Ok(()),
        }
    }
}

impl Wanted {
    fn role(&self, ifindex: u32) -> Option<Role> {
        if ifindex == LOOPBACK {
            return self.loopback.then_some(Role::Uplink);
        }
        self.devices.get(&ifindex).map(|(_, role)| *role)
    }

    fn roles(&self) -> impl Iterator<Item = (u32, &str, Role)> {
        let loopback = self.loopback.then_some((LOOPBACK, "lo", Role::Uplink));
        loopback
            .into_iter()
            .chain(self.devices.iter().map(|(ifindex, (name, role))| (*ifindex, name.as_str(), *role)))
    }
}

/// The name of the folder that marks an uplink.
fn uplink_marker(ifindex: u32) -> String {
    format!("uplink_{ifindex}")
}

/// The uplink that a marker of that name is for.
pub(super) fn uplink_of(name: &str) -> Option<u32> {
    name.strip_prefix("uplink_")?.parse().ok()
}

/// The program for a side of a device.
pub(super) fn program_for(role: Role, side: Side) -> &'static str {
    match (role, side) {
        (Role::Pod, Side::Ingress) => "pod_ingress",
        (Role::Pod, Side::Egress) => "pod_egress",
        (Role::Uplink, Side::Ingress) => "uplink_ingress",
        (Role::Uplink, Side::Egress) => "uplink_egress",
    }
}

/// What `BPF_LINK_CREATE` says to an attach type that it does not know.
fn lacks_tcx(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, EOPNOTSUPP};
    matches!(error.raw_os_error(), Some(EINVAL | EOPNOTSUPP))
}

pub(super) fn attach_error(program: &str, target: &str, error: &io::Error) -> Error {
    Error::Attach { program: program.into(), target: target.into(), reason: error.to_string() }
}
