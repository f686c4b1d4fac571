//! What pods serve: who they are, and whom they see.
//!
//! One thread serves all connections and datagrams of a pod. The answer to a line, or
//! to a datagram, is `pod source`, to a long datagram its other bytes behind it; a request in HTTP gets the same in HTTP.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{layout::POD_PORT, namespace::Namespace};

/// A server, until it is dropped.
pub struct Server {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server under the name of its namespace.
    pub fn start(namespace: &Namespace) -> anyhow::Result<Self> {
        Self::start_at(namespace, namespace.name(), POD_PORT)
    }

    /// Starts a server on a port of its own, which answers by a name of its own.
    pub fn start_at(namespace: &Namespace, name: &str, port: u16) -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Self::start_on(namespace, name, move || Ok((TcpListener::bind(any)?, UdpSocket::bind(any)?)))
    }

    /// Starts a server of SCTP under the name of its namespace. A one-to-one socket of SCTP is used like one of TCP
    /// (RFC 6458, section 4).
    pub fn start_sctp(namespace: &Namespace) -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, POD_PORT));
        Self::start_on(namespace, namespace.name(), move || {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::SCTP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&any.into())?;
            socket.listen(128)?;
            // nobody knows its port
            Ok((socket.into(), UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?))
        })
    }

    fn start_on(
        namespace: &Namespace,
        name: &str,
        open: impl FnOnce() -> io::Result<(TcpListener, UdpSocket)> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let sockets = namespace.run(move || -> io::Result<_> {
            let (tcp, udp) = open()?;
            tcp.set_nonblocking(true)?;
            udp.set_nonblocking(true)?;
            Ok((tcp, udp))
        });
        let (tcp, udp) = sockets?.with_context(|| format!("cannot serve in {}", namespace.name()))?;
        let stop = Arc::new(EventFd::new()?);
        let service = Service { name: name.into(), tcp, udp, connections: BTreeMap::new() };
        let until = Arc::clone(&stop);
        let thread = thread::Builder::new().name(format!("serve {}", namespace.name())).spawn(move || {
            if let Err(error) = service.run(&until) {
                eprintln!("a server ended: {error}");
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop.write(1) {
            return eprintln!("a server cannot be stopped: {error}");
        }
        if let Some(thread) = self.thread.take() {
            // It never panics; if it did, its clients have said so.
            thread.join().ok();
        }
    }
}

struct Service {
    name: String,
    tcp: TcpListener,
    udp: UdpSocket,
    connections: BTreeMap<RawFd, (TcpStream, IpAddr)>,
}

impl Service {
    fn run(mut self, stop: &EventFd) -> io::Result<()> {
        loop {
            let fixed = [stop.as_fd(), self.tcp.as_fd(), self.udp.as_fd()];
            let streams = self.connections.values().map(|(stream, _)| stream.as_fd());
            let mut fds: Vec<_> =
                fixed.into_iter().chain(streams).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            poll(&mut fds, PollTimeout::NONE)?;
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
            let open: Vec<RawFd> = self.connections.keys().copied().collect();
            if ready[0] {
                return Ok(());
            }
            if ready[2] {
                self.datagrams();
            }
            for (connection, _) in open.into_iter().zip(&ready[3..]).filter(|(_, ready)| **ready) {
                if !self.reply(connection) {
                    self.connections.remove(&connection);
                }
            }
            if ready[1] {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, peer)) = self.tcp.accept() {
            // Replies are small: the socket's buffer takes them without waiting.
            if stream.set_nonblocking(true).is_ok() {
                // That option is TCP's alone.
                stream.set_nodelay(true).ok();
                self.connections.insert(stream.as_raw_fd(), (stream, peer.ip().to_canonical()));
            }
        }
    }

    fn datagrams(&self) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((length, peer)) = self.udp.recv_from(&mut buffer) {
            let mut answer = self.answer(peer.ip().to_canonical()).into_bytes();
            answer.extend(buffer[..length].get(answer.len()..).unwrap_or_default());
            // A client that is gone needs no answer.
            self.udp.send_to(&answer, peer).ok();
        }
    }

    /// Answers what has arrived, and tells whether the connection goes on.
    fn reply(&mut self, connection: RawFd) -> bool {
        let Some((stream, peer)) = self.connections.get(&connection) else { return false };
        let (mut stream, peer) = (stream, *peer);
        let mut buffer = [0; 4096];
        let length = match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        };
        let answer = self.answer(peer);
        if buffer.starts_with(b"GET ") {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
            stream.write_all((head + &answer).as_bytes()).ok();
            return false;
        }
        let lines = String::from_utf8_lossy(&buffer[..length]).matches('\n').count();
        stream.write_all(answer.repeat(lines).as_bytes()).is_ok()
    }

    fn answer(&self, peer: IpAddr) -> String {
        format!("{} {peer}\n", self.name)
    }
}
