//! The API server's address in a world.
//!
//! Worlds share one API server and all have the same addresses, so that no route from a
//! world to it could be told from another's. A relay listens in the world and connects
//! where the API server is. Without its relay a world is cut off.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};

use crate::netns::namespace::Namespace;

/// Where the API server is.
#[derive(Clone)]
pub(super) struct Upstream {
    /// The namespace it can be reached from.
    pub(super) namespace: Arc<Namespace>,
    /// Its host and port there.
    pub(super) address: String,
}

impl Upstream {
    fn connect(&self) -> anyhow::Result<TcpStream> {
        let address = self.address.clone();
        Ok(self.namespace.run(move || TcpStream::connect(address))??)
    }
}

/// Both ends of the connections so far.
type Streams = Arc<Mutex<Vec<TcpStream>>>;

/// A relay, until it is dropped; its connections end with it.
pub(super) struct Relay {
    stop: Arc<EventFd>,
    streams: Streams,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens at an address of a namespace.
    pub(super) fn start(namespace: &Namespace, at: SocketAddr, to: Upstream) -> anyhow::Result<Self> {
        let listener = namespace.run(move || TcpListener::bind(at))?;
        let listener = listener.with_context(|| format!("cannot relay at {at}"))?;
        listener.set_nonblocking(true)?;
        let (stop, streams) = (Arc::new(EventFd::new()?), Streams::default());
        let (until, kept) = (Arc::clone(&stop), Arc::clone(&streams));
        let thread = thread::Builder::new().name("relay".into()).spawn(move || {
            if let Err(error) = run(&listener, &until, &to, &kept) {
                eprintln!("a relay ended: {error:#}");
            }
        })?;
        Ok(Self { stop, streams, thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Err(error) = self.stop.write(1) {
            return eprintln!("a relay cannot be stopped: {error}");
        }
        if let Some(thread) = self.thread.take() {
            // It has said why if it ended before.
            thread.join().ok();
        }
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // It may have ended by itself.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn run(listener: &TcpListener, stop: &EventFd, to: &Upstream, kept: &Streams) -> anyhow::Result<()> {
    loop {
        let mut fds = [stop.as_fd(), listener.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?;
        if fds[0].any().unwrap_or(true) {
            return Ok(());
        }
        while let Ok((near, _)) = listener.accept() {
            // An API server that does not listen ends the connection, as a router's reset would.
            if let Ok(far) = to.connect() {
                join(near, far, kept)?;
            }
        }
    }
}

fn join(near: TcpStream, far: TcpStream, kept: &Streams) -> io::Result<()> {
    near.set_nonblocking(false)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream.try_clone()?);
    }
    copy(near.try_clone()?, far.try_clone()?)?;
    copy(far, near)
}

/// One direction. An end or error of either end is handed on to the other.
fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let body = move || {
        let direction = match io::copy(&mut from, &mut to) {
            Ok(_) => Shutdown::Write,
            Err(_) => Shutdown::Both,
        };
        to.shutdown(direction).ok();
    };
    thread::Builder::new().name("relay".into()).spawn(body).map(|_detached| ())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use super::*;

    #[test]
    fn a_relay_carries_both_ways_and_its_end_is_an_end() -> anyhow::Result<()> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let here = Arc::new(Namespace::here("here")?);
        let to = Upstream { namespace: Arc::clone(&here), address: server.local_addr()?.to_string() };
        let relay = Relay::start(&here, free, to)?;

        let client = TcpStream::connect(free)?;
        let (served, _) = server.accept()?;
        let (mut asked, mut answered) = (BufReader::new(&served), BufReader::new(&client));
        let mut line = String::new();
        (&client).write_all(b"question\n")?;
        asked.read_line(&mut line)?;
        (&served).write_all(b"answer\n")?;
        answered.read_line(&mut line)?;
        assert_eq!(line, "question\nanswer\n");

        drop(relay);
        assert_eq!(answered.read_line(&mut line).unwrap_or(0), 0);
        assert!(TcpStream::connect(free).is_err());
        Ok(())
    }
}
