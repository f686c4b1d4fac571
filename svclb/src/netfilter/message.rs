//! Messages of `nfnetlink` (`linux/netfilter/nfnetlink.h`) and their attributes (`linux/netlink.h`), as bytes.

use rtnetlink::packet_core::{NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader};

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = size_of::<NetlinkHeader>();
/// Bytes of `struct nfgenmsg`: family, version, and a number in network byte order.
const GENERIC: usize = 4;
/// Bytes in front of an attribute's value.
const ATTRIBUTE: usize = 4;
/// The bits of an attribute's type that are none of its number.
const ATTRIBUTE_FLAGS: u16 = 0xc000;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// A message that is being written.
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A request of `kind` about `family`. `resource` goes into `res_id`.
    pub(super) fn new(kind: u16, flags: u16, sequence: u32, family: u8, resource: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        let mut buffer = NetlinkBuffer::new(&mut bytes);
        buffer.set_message_type(kind);
        buffer.set_flags(flags | NLM_F_REQUEST);
        buffer.set_sequence_number(sequence);
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        Self(bytes)
    }

    /// Adds an attribute.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTRIBUTE + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds a text, which ends with a zero.
    pub(super) fn put_text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value);
    }

    /// Adds an attribute made of others.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.put(kind | NESTED, &[]);
        fill(self);
        let length = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// The whole.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        NetlinkBuffer::new(&mut self.0).set_length(length);
        self.0
    }
}

/// The attributes in `bytes` by their numbers. What follows a broken one is lost.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1, ..] = *rest else { return None };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & !ATTRIBUTE_FLAGS, value))
    })
}

/// The value of the attribute of that number.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A text without the zero at its end.
pub(super) fn text(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

/// What the kernel answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// A message about something.
    About {
        /// The family it is of.
        family: u8,
        /// Its attributes.
        attributes: &'a [u8],
    },
    /// There is no more.
    Done,
    /// An error of errno.h, 0 is none, and the number of the request.
    Error(i32, u32),
}

/// The messages in a datagram. What follows a broken one is lost.
pub(super) fn replies(datagram: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(rest).ok()?;
        let length = buffer.length() as usize;
        let (kind, sequence) = (buffer.message_type(), buffer.sequence_number());
        let payload = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(match kind {
            NLMSG_DONE => Reply::Done,
            NLMSG_ERROR => {
                let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
                Reply::Error(code.checked_neg()?, sequence)
            }
            _ => Reply::About { family: *payload.first()?, attributes: payload.get(GENERIC..)? },
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::new(0x0a03, 4, 7, 2, 10);
        message.put_text(1, "svclb");
        message.nest(4, |hook| {
            hook.put(1, &4_u32.to_be_bytes());
            hook.put(2, &[1, 2, 3]);
        });
        let bytes = message.finish();
        let found: Vec<_> = replies(&bytes).collect();
        let [Reply::About { family: 2, attributes: all }] = found[..] else { panic!("{found:?}") };
        assert_eq!(attribute(all, 1).map(text), Some(&b"svclb"[..]));
        let hook = attribute(all, 4).unwrap();
        assert_eq!(attributes(hook).collect::<Vec<_>>(), [(1, &[0, 0, 0, 4][..]), (2, &[1, 2, 3])]);
        assert_eq!(attribute(all, 2), None);
        for length in 0..bytes.len() {
            assert_eq!(replies(&bytes[..length]).count(), 0, "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_an_end(bytes: Vec<u8>) {
            for reply in replies(&bytes) {
                if let Reply::About { attributes: all, .. } = reply {
                    prop_assert!(attributes(all).count() <= all.len() / ATTRIBUTE);
                }
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len() / ATTRIBUTE);
        }
    }
}
