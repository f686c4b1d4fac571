//! What a device's driver can do with XDP, as the kernel tells since Linux 6.3: the generic
//! netlink family `netdev`.

use std::io;

use rtnetlink::{
    packet_core::NlasIterator,
    sys::{Socket, SocketAddr, constants::NETLINK_GENERIC},
};

/// `enum netdev_xdp_act` (linux/netdev.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// Programs may pass, drop and send back frames.
    pub const BASIC: Self = Self(1);
    /// Programs may send frames to other devices.
    pub const REDIRECT: Self = Self(1 << 1);
    /// The device takes frames from other devices' programs.
    pub const TAKES: Self = Self(1 << 2);
    /// Frames may have several buffers.
    pub const BUFFERS: Self = Self(1 << 5);

    /// Whether all of `other` is there.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY` and its attributes (linux/genetlink.h).
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// `NETDEV_CMD_DEV_GET` and its attributes (linux/netdev.h).
const GET_DEVICE: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;

/// Bytes of the headers before the attributes: netlink's and generic netlink's.
const HEADERS: usize = 16 + 4;

/// The features of a device of the calling thread's network namespace. An error also where the
/// kernel does not tell.
pub fn features(ifindex: u32) -> io::Result<Features> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = ask(&socket, CONTROL, GET_FAMILY, (FAMILY_NAME, b"netdev\0"), FAMILY_ID)?;
    let features = ask(&socket, family as u16, GET_DEVICE, (IFINDEX, &ifindex.to_ne_bytes()), XDP_FEATURES)?;
    Ok(Features(features))
}

/// Sends a request with one attribute and gives a number of the answer.
fn ask(socket: &Socket, family: u16, command: u8, attribute: (u16, &[u8]), wanted: u16) -> io::Result<u64> {
    socket.send(&request(family, command, attribute), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    number(&answer, wanted)
}

fn request(family: u16, command: u8, (kind, value): (u16, &[u8])) -> Vec<u8> {
    /// `NLM_F_REQUEST`.
    const REQUEST: u16 = 1;
    let len = HEADERS + 4 + value.len();
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4));
    bytes.extend((len.next_multiple_of(4) as u32).to_ne_bytes());
    bytes.extend(family.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(len.next_multiple_of(4), 0);
    bytes
}

/// The attribute `wanted` of an answer, which is an integer of 2, 4 or 8 bytes.
fn number(answer: &[u8], wanted: u16) -> io::Result<u64> {
    /// `NLMSG_ERROR`.
    const ERROR: [u8; 2] = 2_u16.to_ne_bytes();
    let cut = || io::Error::new(io::ErrorKind::InvalidData, "an answer without the attribute asked for");
    if answer.get(4..6) == Some(&ERROR) {
        let code = answer.get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
        return Err(io::Error::from_raw_os_error(code.unwrap_or_default().saturating_neg()));
    }
    let attributes = NlasIterator::new(answer.get(HEADERS..).ok_or_else(cut)?);
    let found = attributes.filter_map(Result::ok).find(|attribute| attribute.kind() == wanted);
    let found = found.ok_or_else(cut)?;
    let value = found.value();
    match *value {
        [a, b] => Ok(u16::from_ne_bytes([a, b]).into()),
        [a, b, c, d] => Ok(u32::from_ne_bytes([a, b, c, d]).into()),
        _ => value.try_into().map(u64::from_ne_bytes).map_err(|_length| cut()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADERS];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        for (kind, value) in attributes {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn numbers_of_any_width_are_found() {
        let found = answer(20, &[(9, b"x"), (3, &0x47_u64.to_ne_bytes()), (1, &7_u16.to_ne_bytes())]);
        assert_eq!(number(&found, 3).unwrap(), 0x47);
        assert_eq!(number(&found, 1).unwrap(), 7);
        assert!(number(&found, 2).is_err() && number(&found[..10], 3).is_err());
    }

    #[test]
    fn a_refusal_is_told_as_the_kernel_does() {
        let mut refusal = answer(2, &[]);
        refusal[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(number(&refusal, 3).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn requests_are_padded() {
        let bytes = request(CONTROL, GET_FAMILY, (FAMILY_NAME, b"netdev\0"));
        assert_eq!((bytes.len(), bytes[0], bytes[20]), (32, 32, 11));
    }
}
