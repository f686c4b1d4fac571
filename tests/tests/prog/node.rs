//! A node to ask for routes: a network namespace of the calling thread.
//!
//! | device | leads to |
//! |---|---|
//! | `pod` | the pods of this node, `10.244.1.0/24` and `fd00:244:1::/64` |
//! | `uplink` | node two and its pods, `10.244.2.0/24` and `fd00:244:2::/64`; everything outside |
//! | `uplink`, on a way of 1300 bytes | more pods of node two, `10.244.3.0/24` and `fd00:244:3::/64` |
//!
//! Node two's link layer address is known, the outside's gateway's is not: the kernel answers differently for the two.
//!
//! `10.244.9.0/24` and `fd00:244:9::/64` belong to pods that nobody knows a way to.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use serde::Deserialize;

/// The node's addresses, by the device that it uses them on.
pub(crate) const ADDRESSES: [(Device, &str); 4] = [
    (Device::Uplink, "192.0.2.1"),
    (Device::Uplink, "2001:db8::1"),
    (Device::Pod, "10.244.1.1"),
    (Device::Pod, "fd00:244:1::1"),
];

/// For `ip -batch`.
const LINKS: &str = "\
link set lo up
link add uplink type veth peer name outside
link add pod type veth peer name inside
link set uplink up
link set outside up
link set pod up
link set inside up
addr add 192.0.2.1/24 dev uplink
addr add 2001:db8::1/64 dev uplink nodad
addr add 10.244.1.1/24 dev pod
addr add fd00:244:1::1/64 dev pod nodad
route add 10.244.2.0/24 via 192.0.2.2
route add fd00:244:2::/64 via 2001:db8::2
route add 10.244.3.0/24 via 192.0.2.2 mtu lock 1300
route add fd00:244:3::/64 via 2001:db8::2 mtu lock 1300
neigh add 192.0.2.2 lladdr 02:00:00:00:02:02 dev uplink
neigh add 2001:db8::2 lladdr 02:00:00:00:02:02 dev uplink
route add default via 192.0.2.254
route add default via 2001:db8::fe dev uplink
route add unreachable 10.244.9.0/24
route add unreachable fd00:244:9::/64 dev lo
";

/// The thread's network namespace; it ends with the thread.
#[derive(Debug)]
pub(crate) struct Node {
    uplink: u32,
    pod: u32,
}

/// A device by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Device {
    /// The loopback device.
    Loopback,
    /// To the pods of this node.
    Pod,
    /// To everything else.
    Uplink,
}

impl Node {
    /// Moves the thread into a namespace of its own and furnishes it.
    pub(crate) fn new() -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace needs root")?;
        let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("ip")?;
        ip.stdin.take().context("ip has no input")?.write_all(LINKS.as_bytes())?;
        if !ip.wait()?.success() {
            bail!("ip did not make the devices");
        }
        // `bpf_fib_lookup` answers for devices that forward.
        for family in ["ipv4", "ipv6"] {
            fs::write(format!("/proc/sys/net/{family}/conf/all/forwarding"), "1")?;
        }
        Ok(Self { uplink: if_nametoindex("uplink")?, pod: if_nametoindex("pod")? })
    }

    /// Index of a device.
    pub(crate) fn index(&self, device: Device) -> u32 {
        match device {
            Device::Loopback => svclb_common::balance::LOOPBACK_IFINDEX,
            Device::Pod => self.pod,
            Device::Uplink => self.uplink,
        }
    }
}
