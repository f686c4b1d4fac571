//! A node to ask for routes: a network namespace of the calling thread.
//!
//! | device | leads to |
//! |---|---|
//! | `pod` | the pods of this node, `10.244.1.0/24` and `fd00:244:1::/64` |
//! | `uplink2` | another part of the outside, `198.51.101.0/24` and `2001:db8:6::/64` |
//! | `dark` | `198.51.102.0/24` and `2001:db8:7::/64`, and carries no program |
//! | `uplink` | node two and its pods, `10.244.2.0/24` and `fd00:244:2::/64`; everything outside |
//! | `second` | another uplink, to node three and its pods, `10.244.3.0/24` and `fd00:244:3::/64` |
//! | `uplink`, on a way of 1300 bytes | more pods of node two, `10.244.4.0/24` and `fd00:244:4::/64` |
//!
//! The link layer addresses of the other nodes are known, and that of the pod 10.244.1.77; the outside's gateway's is
//! not: the kernel answers differently for the two.
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
pub const ADDRESSES: [(Device, &str); 8] = [
    (Device::Uplink, "192.0.2.1"),
    (Device::Uplink, "2001:db8::1"),
    (Device::SecondUplink, "192.0.3.1"),
    (Device::SecondUplink, "2001:db8:3::1"),
    (Device::Pod, "10.244.1.1"),
    (Device::Pod, "fd00:244:1::1"),
    (Device::Second, "172.16.3.1"),
    (Device::Second, "2001:db8:4::1"),
];

/// For `ip -batch`.
const LINKS: &str = "\
link set lo up
link add uplink address 02:00:00:00:00:02 type veth peer name outside
link add pod type veth peer name inside
link add uplink2 type veth peer name outside2
link add dark type veth peer name night
link set uplink2 up
link set outside2 up
link set dark up
link set night up
link add second address 02:00:00:00:00:03 type veth peer name elsewhere
link set uplink up
link set outside up
link set pod up
link set inside up
link set second up
link set elsewhere up
addr add 192.0.2.1/24 dev uplink
addr add 2001:db8::1/64 dev uplink nodad
addr add 10.244.1.1/24 dev pod
addr add fd00:244:1::1/64 dev pod nodad
addr add 192.0.3.1/24 dev uplink2
addr add 2001:db8:3::1/64 dev uplink2 nodad
addr add 192.0.9.1/24 dev dark
addr add 2001:db8:9::1/64 dev dark nodad
route add 198.51.101.0/24 via 192.0.3.254
route add 2001:db8:6::/64 via 2001:db8:3::fe
route add 198.51.102.0/24 via 192.0.9.254
route add 2001:db8:7::/64 via 2001:db8:9::fe
addr add 172.16.3.1/24 dev second
addr add 2001:db8:4::1/64 dev second nodad
route add 10.244.3.0/24 via 172.16.3.3
route add fd00:244:3::/64 via 2001:db8:4::3
neigh add 172.16.3.3 lladdr 02:00:00:00:03:03 dev second
neigh add 2001:db8:4::3 lladdr 02:00:00:00:03:03 dev second
neigh add 10.244.1.77 lladdr 02:00:00:00:01:77 dev pod
route add 10.244.2.0/24 via 192.0.2.2
route add fd00:244:2::/64 via 2001:db8::2
route add 10.244.4.0/24 via 192.0.2.2 mtu lock 1300
route add fd00:244:4::/64 via 2001:db8::2 mtu lock 1300
neigh add 192.0.2.2 lladdr 02:00:00:00:02:02 dev uplink
neigh add 2001:db8::2 lladdr 02:00:00:00:02:02 dev uplink
route add default via 192.0.2.254
route add default via 2001:db8::fe dev uplink
route add unreachable 10.244.9.0/24
route add unreachable fd00:244:9::/64 dev lo
";

/// The thread's network namespace; it ends with the thread.
#[derive(Debug)]
pub struct Node {
    uplink: u32,
    second_uplink: u32,
    pod: u32,
    second: u32,
}

/// A device by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The loopback device.
    Loopback,
    /// To the pods of this node.
    Pod,
    /// To everything else.
    Uplink,
    /// To another part of the outside.
    SecondUplink,
    /// To another node, by another network.
    Second,
}

impl Node {
    /// Moves the thread into a namespace of its own and furnishes it.
    pub fn new() -> anyhow::Result<Self> {
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
        Ok(Self {
            uplink: if_nametoindex("uplink")?,
            second_uplink: if_nametoindex("uplink2")?,
            pod: if_nametoindex("pod")?,
            second: if_nametoindex("second")?,
        })
    }

    /// Gives the next hop of the way to other nodes' pods another link address.
    pub fn move_next_hop(lladdr: &str) -> anyhow::Result<()> {
        for addr in ["192.0.2.2", "2001:db8::2"] {
            let arguments = ["neigh", "replace", addr, "lladdr", lladdr, "dev", "uplink"];
            let status = Command::new("ip").args(arguments).status().context("ip")?;
            anyhow::ensure!(status.success(), "ip did not change the neighbour {addr}");
        }
        Ok(())
    }

    /// Has the node use an address on its way to the pods of the other node, which lie in `to`, by the next hop `via`.
    pub fn move_source(to: &str, via: &str, source: &str) -> anyhow::Result<()> {
        let arguments = ["route", "replace", to, "via", via, "dev", "uplink", "src", source];
        let status = Command::new("ip").args(arguments).status().context("ip")?;
        anyhow::ensure!(status.success(), "ip did not change the route to {to}");
        Ok(())
    }

    /// Sets the largest packet of an uplink.
    pub fn set_mtu(device: Device, mtu: u32) -> anyhow::Result<()> {
        let name = if device == Device::Second { "second" } else { "uplink" };
        let mtu = mtu.to_string();
        let status = Command::new("ip").args(["link", "set", name, "mtu", &mtu]).status().context("ip")?;
        anyhow::ensure!(status.success(), "ip did not set the MTU of {name}");
        Ok(())
    }

    /// Index of a device.
    pub fn index(&self, device: Device) -> u32 {
        match device {
            Device::Loopback => svclb_common::balance::LOOPBACK_IFINDEX,
            Device::Pod => self.pod,
            Device::Uplink => self.uplink,
            Device::SecondUplink => self.second_uplink,
            Device::Second => self.second,
        }
    }
}
