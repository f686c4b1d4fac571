//! First packets of flows that nobody goes on with, from addresses that nobody has, as fast as one core makes them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, anyhow};
use etherparse::PacketBuilder;
use nix::libc::IPPROTO_RAW;
use socket2::{Domain, Protocol, Socket, Type};

use super::namespace::Namespace;

/// What a flood is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// SYNs of TCP.
    Syns,
    /// Datagrams of UDP.
    Datagrams,
}

/// A flood that has begun; it ends when it is dropped, if not before.
pub struct Flooding {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Flood {
    /// Begins to send from a namespace to `target`, at most `bound` packets. Sources are random in 20.0.0.0/8 or in
    /// `2001:db8:f00d::/48`, so the namespace must have a way to `target` and whoever answers must have a way to those, or
    /// loses his answers.
    pub fn start(self, namespace: &Namespace, target: SocketAddr, bound: u64) -> anyhow::Result<Flooding> {
        // The protocol says that the IP header is in what is sent.
        let domain = Domain::for_address(target);
        let open = move || Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
        let socket =
            namespace.run(open)?.with_context(|| format!("no raw socket in {}", namespace.name()))?;
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = thread::Builder::new().name("flood".into()).spawn(move || {
            let to = SocketAddr::new(target.ip(), 0).into();
            let mut frame = Vec::new();
            while count.load(Ordering::Relaxed) < bound && !end.load(Ordering::Relaxed) {
                frame.clear();
                self.write(&mut frame, target).map_err(io::Error::other)?;
                match socket.send_to(&frame, &to) {
                    Ok(_) => count.fetch_add(1, Ordering::Relaxed),
                    // The device's queue is full.
                    Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => continue,
                    Err(error) => return Err(error),
                };
            }
            Ok(())
        })?;
        Ok(Flooding { sent, stop, thread: Some(thread) })
    }

    fn write(self, frame: &mut Vec<u8>, target: SocketAddr) -> Result<(), String> {
        let port = fastrand::u16(1024..);
        let builder = match target.ip() {
            IpAddr::V4(dst) => {
                let [_, b, c, d] = fastrand::u32(..).to_be_bytes();
                PacketBuilder::ipv4(Ipv4Addr::new(20, b, c, d).octets(), dst.octets(), 64)
            }
            IpAddr::V6(dst) => {
                let [a, b, c, d] = [(); 4].map(|()| fastrand::u16(..));
                let src = Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, a, b, c, d);
                PacketBuilder::ipv6(src.octets(), dst.octets(), 64)
            }
        };
        let written = match self {
            Self::Syns => builder.tcp(port, target.port(), fastrand::u32(..), 64_000).syn().write(frame, &[]),
            Self::Datagrams => builder.udp(port, target.port()).write(frame, b"\n"),
        };
        written.map_err(|error| error.to_string())
    }
}

impl Flooding {
    /// How many packets have been sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether all of them have been sent, or it has failed.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all of them have been sent; tells how many.
    pub fn finish(mut self) -> anyhow::Result<u64> {
        self.join()?;
        Ok(self.sent())
    }

    /// Ends it; tells how many packets have been sent.
    pub fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.map_err(|_panic| anyhow!("the flood panicked"))?.context("cannot send the flood")
    }
}

impl Drop for Flooding {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Who wants to know has asked.
        self.join().ok();
    }
}
