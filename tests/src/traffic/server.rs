//! What backends serve: one epoll loop for all connections.
//!
//! The answer to each byte is the server's number. A connection that begins with [`SINK`] is read to its end and
//! closed then, by which its client knows that all has arrived.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd as _},
};

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// The first byte of a connection that wants no answers.
pub const SINK: u8 = b'S';

const STOP: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

struct Connection {
    stream: TcpStream,
    is_sink: Option<bool>,
}

/// Serves until `stop` can be read, or has ended.
pub fn serve(number: u8, listener: &TcpListener, stop: &impl AsFd) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            match event.data() {
                STOP => return Ok(()),
                LISTENER => {
                    // Nobody is there any more if the client has given up.
                    let Ok((stream, _peer)) = listener.accept() else { continue };
                    stream.set_nodelay(true).ok();
                    let token = u64::try_from(stream.as_raw_fd()).context("a negative descriptor")?;
                    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
                    connections.insert(token, Connection { stream, is_sink: None });
                }
                token => {
                    let goes_on = connections
                        .get_mut(&token)
                        .is_some_and(|connection| connection.serve(number, &mut buffer).unwrap_or(false));
                    if !goes_on {
                        // The kernel forgets a closed descriptor by itself.
                        connections.remove(&token);
                    }
                }
            }
        }
    }
}

impl Connection {
    /// Does what has arrived, of which there is something, and tells whether the connection goes on.
    fn serve(&mut self, number: u8, buffer: &mut [u8]) -> io::Result<bool> {
        let length = self.stream.read(buffer)?;
        let is_sink = *self.is_sink.get_or_insert(buffer.first() == Some(&SINK));
        if length > 0 && !is_sink {
            buffer[..length].fill(number);
            self.stream.write_all(&buffer[..length])?;
        }
        Ok(length > 0)
    }
}
