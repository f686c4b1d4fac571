//! The table of connection tracking, by `ctnetlink`.

use std::io;

use nix::libc::{AF_INET, AF_INET6, EINVAL, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT};
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL},
    sys::{Socket, SocketAddr as Port, protocols::NETLINK_NETFILTER},
};

use super::{
    entry::{Entry, Tuple, put_original, put_reply},
    message::{Message, Reply, replies},
};

/// `NFNL_SUBSYS_CTNETLINK`, in the upper half of a message's type.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = SUBSYSTEM | 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = SUBSYSTEM | 2;

/// By which packets an entry is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its client's.
    Original(Tuple),
    /// Those that answer.
    Reply(Tuple),
}

/// The table.
pub struct Conntrack {
    socket: Socket,
}

/// A netlink socket of netfilter in the calling thread's network namespace.
pub(super) fn open() -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&Port::new(0, 0))?;
    Ok(socket)
}

/// Whether an error says that the kernel has no such thing.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EINVAL | EOPNOTSUPP | EPROTONOSUPPORT))
}

impl Conntrack {
    /// That of the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: open()? })
    }

    /// All entries of protocols with ports.
    pub fn all(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for family in [AF_INET as u8, AF_INET6 as u8] {
            let request = Message::new(GET, NLM_F_DUMP, 0, family, 0);
            self.socket.send(&request.finish(), 0)?;
            dump(&self.socket, |_, attributes| entries.extend(Entry::read(attributes)))?;
        }
        Ok(entries)
    }

    /// The entry of these packets.
    pub fn get(&self, original: &Tuple) -> io::Result<Option<Entry>> {
        let mut message = Message::new(GET, 0, 0, original.family(), 0);
        put_original(&mut message, original);
        self.socket.send(&message.finish(), 0)?;
        let (datagram, _) = self.socket.recv_from_full()?;
        match replies(&datagram).next() {
            Some(Reply::About { attributes, .. }) => Ok(Entry::read(attributes)),
            Some(Reply::Error(ENOENT, _)) => Ok(None),
            Some(Reply::Error(errno, _)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Reply::Done) | None => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Enters a connection with its translations. Fails with `AlreadyExists` if another has one of its tuples.
    pub fn create(&self, entry: &Entry) -> io::Result<()> {
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
        let mut message = Message::new(NEW, flags, 0, entry.original.family(), 0);
        entry.write(&mut message);
        self.acknowledged(message)
    }

    /// Forgets a connection. Tells whether there was one.
    pub fn delete(&self, by: By) -> io::Result<bool> {
        let (By::Original(tuple) | By::Reply(tuple)) = by;
        let mut message = Message::new(DELETE, NLM_F_ACK, 0, tuple.family(), 0);
        match by {
            By::Original(tuple) => put_original(&mut message, &tuple),
            By::Reply(tuple) => put_reply(&mut message, &tuple),
        }
        match self.acknowledged(message) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn acknowledged(&self, message: Message) -> io::Result<()> {
        self.socket.send(&message.finish(), 0)?;
        acknowledgement(&self.socket, 0)
    }
}

/// Reads what a dump tells, each with its family.
pub(super) fn dump(socket: &Socket, mut found: impl FnMut(u8, &[u8])) -> io::Result<()> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for reply in replies(&datagram) {
            match reply {
                Reply::About { family, attributes } => found(family, attributes),
                Reply::Done => return Ok(()),
                Reply::Error(0, _) => {}
                Reply::Error(errno, _) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}

/// Waits for the answer to request `sequence`, or the error of one before it.
pub(super) fn acknowledgement(socket: &Socket, sequence: u32) -> io::Result<()> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for reply in replies(&datagram) {
            match reply {
                Reply::Error(0, number) if number == sequence => return Ok(()),
                Reply::Error(0, _) | Reply::About { .. } | Reply::Done => {}
                Reply::Error(errno, _) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}
