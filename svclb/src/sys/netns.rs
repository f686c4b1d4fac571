//! The identity of a network namespace.

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

use nix::libc;

/// `SO_NETNS_COOKIE` of the calling thread's network namespace (Linux 5.14): what
/// `bpf_get_netns_cookie` returns for its sockets.
pub fn cookie() -> io::Result<u64> {
    /// `asm-generic/socket.h`; not in every version of libc.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut cookie = 0_u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the buffer is as long as `len` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
