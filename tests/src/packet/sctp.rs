//! SCTP, which etherparse does not know: RFC 9260 written out, with a CRC of another's making.

use crc::{CRC_32_ISCSI, Crc};

use super::Check;

/// IANA protocol number.
pub(super) const PROTOCOL: u8 = 132;

/// Bytes of the common header.
const HEADER: usize = 12;

/// An SCTP common header and the type of the first chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sctp {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Verification tag.
    pub tag: u32,
    /// Type of the first chunk.
    pub chunk: u8,
    /// What is in the checksum field; a checksum that is left to the device is zero.
    pub check: Check,
}

impl Sctp {
    /// The packet, with `payload` in its first chunk.
    pub(super) fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
        packet.extend(self.tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([self.chunk, 0]);
        packet.extend(u16::try_from(4 + payload.len()).expect("a packet of at most 64 KiB").to_be_bytes());
        packet.extend(payload);
        packet.resize(packet.len().next_multiple_of(4), 0);
        if self.check == Check::Full {
            let crc = checksum(&packet);
            packet[8..HEADER].copy_from_slice(&crc);
        }
        packet
    }
}

/// The checksum of a packet, over zeros in its place.
fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut bare = packet.to_vec();
    bare[8..HEADER].fill(0);
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(&bare).to_le_bytes()
}

/// The number of a chunk type, RFC 9260 section 3.2.
pub(super) fn chunk(name: &str) -> Option<u8> {
    const NAMES: [&str; 15] = [
        "data",
        "init",
        "init-ack",
        "sack",
        "heartbeat",
        "heartbeat-ack",
        "abort",
        "shutdown",
        "shutdown-ack",
        "error",
        "cookie-echo",
        "cookie-ack",
        "ecne",
        "cwr",
        "shutdown-complete",
    ];
    NAMES.iter().position(|known| *known == name).and_then(|number| u8::try_from(number).ok())
}

/// An error unless the checksum of a packet is right, or left to a device.
pub(super) fn judge(packet: &[u8]) -> Result<(), String> {
    match packet.get(8..HEADER) {
        None => Err(format!("an SCTP packet of {} bytes", packet.len())),
        Some([0, 0, 0, 0]) => Ok(()),
        Some(found) if found == checksum(packet) => Ok(()),
        Some(found) => Err(format!("the CRC32c is {found:02x?}, should be {:02x?}", checksum(packet))),
    }
}
