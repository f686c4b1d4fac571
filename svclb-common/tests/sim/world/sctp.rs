//! SCTP packets, which etherparse does not know: RFC 9260 written out, with a CRC of another's making.

use crc::{CRC_32_ISCSI, Crc};

use super::frame::{ACK, FIN, RST, SYN};

/// Bytes of the common header.
const HEADER: usize = 12;

/// A packet of one chunk, of the type that stands for what these TCP control bits do.
pub(crate) fn build(sport: u16, dport: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let has = |bit| flags & bit != 0;
    let chunk: u8 = match () {
        () if has(RST) => 6,
        () if has(SYN) && has(ACK) => 2,
        () if has(SYN) => 1,
        () if has(FIN) => 7,
        () => 0,
    };
    let mut packet = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    packet.extend(0x0102_0304_u32.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0]);
    packet.extend(u16::try_from(4 + payload.len()).unwrap().to_be_bytes());
    packet.extend(payload);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let crc = crc(&packet);
    packet[8..HEADER].copy_from_slice(&crc);
    packet
}

/// The checksum of a packet, over zeros in its place.
fn crc(packet: &[u8]) -> [u8; 4] {
    let mut bare = packet.to_vec();
    bare[8..HEADER].fill(0);
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(&bare).to_le_bytes()
}

/// Asserts that the checksum is right.
pub(crate) fn verify(packet: &[u8]) {
    assert_eq!(packet[8..HEADER], crc(packet), "CRC32c");
}

/// Source and destination port.
pub(crate) fn ports(packet: &[u8]) -> (u16, u16) {
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (port(0), port(2))
}

/// Asserts that two packets differ in ports and checksum at most.
pub(crate) fn assert_only_ends_changed(before: &[u8], after: &[u8]) {
    assert_eq!(before[4..8], after[4..8], "the tag");
    assert_eq!(before[HEADER..], after[HEADER..], "chunks");
}
