//! What a device's driver is told and asked by `SIOCETHTOOL`: the few settings for which a
//! netlink conversation would be out of proportion.

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

use nix::libc;

/// Bit of [`flags`]: the device takes VLAN tags out of frames that come in (`ETH_FLAG_RXVLAN`).
pub const STRIPS_TAGS: u32 = 1 << 8;

/// `ETHTOOL_GFLAGS` and `ETHTOOL_STXCSUM` (linux/ethtool.h).
const GET_FLAGS: u32 = 0x25;
const SET_TX_CHECKSUM: u32 = 0x17;

/// `struct ethtool_value` (linux/ethtool.h).
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The device's flags, of the calling thread's network namespace.
pub fn flags(device: &str) -> io::Result<u32> {
    call(device, GET_FLAGS, 0)
}

/// Leaves checksums of packets that go out to the device, or computes them before.
pub fn set_tx_checksum(device: &str, on: bool) -> io::Result<()> {
    call(device, SET_TX_CHECKSUM, on.into()).map(drop)
}

fn call(device: &str, command: u32, data: u32) -> io::Result<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut value = Value { command, data };
    // SAFETY: all zeros are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request and what it points to outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result == 0 { Ok(value.data) } else { Err(io::Error::last_os_error()) }
}
