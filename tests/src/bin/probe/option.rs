//! Options of the IP header, for every packet that a socket sends.

use std::{ffi::OsString, io, net::UdpSocket, os::unix::ffi::OsStringExt as _};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt::SetOsString},
};

#[derive(Clone, Copy)]
struct IpOptions;
#[derive(Clone, Copy)]
struct HopByHop;
#[derive(Clone, Copy)]
struct Destination;

nix::setsockopt_impl!(IpOptions, libc::IPPROTO_IP, libc::IP_OPTIONS, OsString, SetOsString<'_>);
nix::setsockopt_impl!(HopByHop, libc::IPPROTO_IPV6, libc::IPV6_HOPOPTS, OsString, SetOsString<'_>);
nix::setsockopt_impl!(Destination, libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, OsString, SetOsString<'_>);

/// Sets options that no host acts on: a record of the route, or padding before and behind a
/// fragment header.
pub(crate) fn set(socket: &UdpSocket, is_v4: bool) -> io::Result<()> {
    if is_v4 {
        let record_route = OsString::from_vec(vec![7, 7, 4, 0, 0, 0, 0, 0]);
        return Ok(setsockopt(socket, IpOptions, &record_route)?);
    }
    let padding = OsString::from_vec(vec![0, 0, 1, 4, 0, 0, 0, 0]);
    setsockopt(socket, HopByHop, &padding)?;
    Ok(setsockopt(socket, Destination, &padding)?)
}
