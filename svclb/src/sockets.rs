//! Connected datagram sockets of this network namespace, by the kernel's socket diagnosis (`sock_diag(7)`).

mod wire;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::libc::{AF_INET, AF_INET6, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, IPPROTO_UDP};
use rtnetlink::sys::{Socket, SocketAddr as Port, protocols::NETLINK_SOCK_DIAG};

use self::wire::{Id, Reply, Request, SOCK_DESTROY, SOCK_DIAG_BY_FAMILY, replies};

/// A connected datagram socket.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    family: u8,
    id: Id,
}

impl Connected {
    /// What `bpf_get_socket_cookie` calls it.
    pub fn cookie(&self) -> u64 {
        let [low, high] = self.id.cookie;
        u64::from(low) | u64::from(high) << 32
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        u16::from_be_bytes(self.id.sport)
    }

    /// The end that it is connected to; an IPv4-mapped IPv6 address is the IPv4 address.
    pub fn peer(&self) -> SocketAddr {
        let [a, b, c, d, ..] = self.id.dst;
        let ip = if i32::from(self.family) == AF_INET {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.id.dst)).to_canonical()
        };
        SocketAddr::new(ip, u16::from_be_bytes(self.id.dport))
    }
}

/// The kernel's socket diagnosis.
pub struct Diagnosis {
    socket: Socket,
}

impl Diagnosis {
    /// That of the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.connect(&Port::new(0, 0))?;
        Ok(Self { socket })
    }

    /// All connected datagram sockets.
    pub fn connected(&self) -> io::Result<Vec<Connected>> {
        /// `TCP_ESTABLISHED` (`net/tcp_states.h`) as a bit.
        const ESTABLISHED: u32 = 1 << 1;
        let mut sockets = Vec::new();
        for family in [AF_INET as u8, AF_INET6 as u8] {
            let request = Request::new(family, IPPROTO_UDP as u8, ESTABLISHED, Id::ANY);
            self.socket.send(&request.dump(SOCK_DIAG_BY_FAMILY), 0)?;
            'dump: loop {
                let (datagram, _) = self.socket.recv_from_full()?;
                for reply in replies(&datagram) {
                    match reply {
                        Reply::Socket { family, id } => sockets.push(Connected { family, id }),
                        Reply::Done => break 'dump,
                        Reply::Error(0) => {}
                        Reply::Error(errno) => return Err(io::Error::from_raw_os_error(errno)),
                    }
                }
            }
        }
        Ok(sockets)
    }

    /// Takes a socket's other end away (`SOCK_DESTROY`, Linux 4.9). Its process is told `ECONNABORTED` once, by the
    /// call that waits or a later one; to send is `EDESTADDRREQ` until it connects anew. False if it is not there any
    /// more.
    pub fn abort(&self, socket: &Connected) -> io::Result<bool> {
        let request = Request::new(socket.family, IPPROTO_UDP as u8, u32::MAX, socket.id);
        self.socket.send(&request.acknowledged(SOCK_DESTROY), 0)?;
        let (datagram, _) = self.socket.recv_from_full()?;
        match replies(&datagram)
            .find_map(|reply| if let Reply::Error(errno) = reply { Some(errno) } else { None })
        {
            Some(0) => Ok(true),
            Some(ENOENT) | None => Ok(false),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Whether an error lasts: the kernel was built without what was asked for, or does not allow it.
pub fn is_lasting(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOENT | EOPNOTSUPP | EPERM | EPROTONOSUPPORT))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_connected_socket_is_found_and_told() {
        for (own, end) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "::ffff:127.0.0.1")] {
            let server = UdpSocket::bind(if end == "::1" { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
            let to = SocketAddr::new(end.parse().unwrap(), server.local_addr().unwrap().port());
            let client = UdpSocket::bind(own).unwrap();
            client.connect(to).unwrap();
            let diagnosis = Diagnosis::open().unwrap();
            let canonical = SocketAddr::new(to.ip().to_canonical(), to.port());
            let found: Vec<_> = diagnosis.connected().unwrap();
            let ours: Vec<_> = found.into_iter().filter(|socket| socket.peer() == canonical).collect();
            assert_eq!(ours.len(), 1, "{to}");
            assert_ne!(ours[0].cookie(), 0);
            if !nix::unistd::geteuid().is_root() {
                continue;
            }
            assert!(diagnosis.abort(&ours[0]).unwrap());
            let error = client.send(b"x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::EDESTADDRREQ), "{to}");
            let error = client.take_error().unwrap().unwrap();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ECONNABORTED), "{to}");
            assert!(!diagnosis.abort(&ours[0]).unwrap(), "it is connected no more");
            client.connect(to).unwrap();
            client.send(b"x").unwrap();
        }
    }
}
