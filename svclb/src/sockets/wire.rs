//! Messages of the socket diagnosis (`linux/inet_diag.h`), laid out as the kernel does.

use bytemuck::{Pod, Zeroable, bytes_of, pod_read_unaligned};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
};

/// Asks for sockets (`linux/sock_diag.h`).
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Ends one.
pub(super) const SOCK_DESTROY: u16 = 21;

/// `struct inet_diag_sockid`: which socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Id {
    pub(super) sport: [u8; 2],
    pub(super) dport: [u8; 2],
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
    pub(super) ifindex: u32,
    pub(super) cookie: [u32; 2],
}

impl Id {
    /// Any.
    pub(super) const ANY: Self =
        Self { sport: [0; 2], dport: [0; 2], src: [0; 16], dst: [0; 16], ifindex: 0, cookie: [u32::MAX; 2] };
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: Id,
}

impl Request {
    /// About sockets in one of `states`, a bit each.
    pub(super) fn new(family: u8, protocol: u8, states: u32, id: Id) -> Self {
        Self { family, protocol, extensions: 0, pad: 0, states, id }
    }

    /// The message that asks about all of them.
    pub(super) fn dump(&self, kind: u16) -> Vec<u8> {
        self.message(kind, NLM_F_DUMP)
    }

    /// The message that asks about one, and is answered in any case.
    pub(super) fn acknowledged(&self, kind: u16) -> Vec<u8> {
        self.message(kind, NLM_F_ACK)
    }

    fn message(&self, kind: u16, flags: u16) -> Vec<u8> {
        let length = HEADER + size_of::<Self>();
        let mut message = vec![0; length];
        let mut buffer = NetlinkBuffer::new(&mut message);
        buffer.set_length(length as u32);
        buffer.set_message_type(kind);
        buffer.set_flags(flags | NLM_F_REQUEST);
        buffer.payload_mut().copy_from_slice(bytes_of(self));
        message
    }
}

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = size_of::<NetlinkHeader>();

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Message {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    rest: [u32; 5],
}

/// What the kernel answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// A socket.
    Socket {
        /// `AF_INET` or `AF_INET6`.
        family: u8,
        /// Which.
        id: Id,
    },
    /// There is no more.
    Done,
    /// An error of errno.h; 0 is none.
    Error(i32),
}

/// The messages in a datagram. What follows a broken one is lost.
pub(super) fn replies(datagram: &[u8]) -> impl Iterator<Item = Reply> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(rest).ok()?;
        let length = (buffer.length() as usize).next_multiple_of(4);
        let payload = rest.get(HEADER..buffer.length() as usize)?;
        let kind = buffer.message_type();
        rest = rest.get(length..).unwrap_or_default();
        Some(match kind {
            NLMSG_DONE => Reply::Done,
            NLMSG_ERROR => Reply::Error(-pod_read_unaligned::<i32>(payload.get(..4)?)),
            _ => {
                let message: Message = pod_read_unaligned(payload.get(..size_of::<Message>())?);
                Reply::Socket { family: message.family, id: message.id }
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_sizes() {
        assert_eq!((size_of::<Id>(), size_of::<Request>(), size_of::<Message>(), HEADER), (48, 56, 72, 16));
    }

    #[test]
    fn what_is_cut_off_is_no_reply() {
        let done = {
            let mut message = Request::new(2, 17, 0, Id::ANY).acknowledged(NLMSG_DONE);
            message.extend([1, 2, 3]);
            message
        };
        for length in 0..done.len() {
            let count = replies(&done[..length]).count();
            assert_eq!(count, usize::from(length >= HEADER + size_of::<Request>()), "{length}");
        }
    }
}
