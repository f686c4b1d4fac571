//! Events as a file of packets (draft-ietf-opsawg-pcapng): a section, an interface for each device, and a packet for each
//! event, with what happened as its comment.
//!
//! Written by hand: it is three kinds of blocks, and the crates for it have not been released for years.

use svclb_common::event::Record;

use super::told::Told;

/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// Tells a reader the order of bytes.
const MAGIC: u32 = 0x1a2b_3c4d;

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

/// Options.
const END: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;

/// What a file begins with.
pub(super) fn section() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(MAGIC.to_le_bytes());
    // Version 1.0, of a length that is not known.
    body.extend([1_u16, 0].into_iter().flat_map(u16::to_le_bytes));
    body.extend(u64::MAX.to_le_bytes());
    block(SECTION, body)
}

/// A device. Times are in microseconds, as they are unless an interface says otherwise.
pub(super) fn interface(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend([ETHERNET, 0].into_iter().flat_map(u16::to_le_bytes));
    // Packets of any length.
    body.extend(0_u32.to_le_bytes());
    option(&mut body, IF_NAME, if name.is_empty() { "socket" } else { name });
    option(&mut body, END, "");
    block(INTERFACE, body)
}

/// The packet of an event, on the interface of that number.
pub(super) fn packet(interface: u32, told: &Told, record: &Record) -> Vec<u8> {
    let micros = u64::try_from(told.timestamp.as_microsecond()).unwrap_or_default();
    packet_at(interface, micros, record.bytes(), record.event.length, &told.comment())
}

fn packet_at(interface: u32, micros: u64, bytes: &[u8], length: u32, comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let captured = bytes.len() as u32;
    let words = [interface, (micros >> 32) as u32, micros as u32, captured, length.max(captured)];
    body.extend(words.into_iter().flat_map(u32::to_le_bytes));
    body.extend(bytes);
    pad(&mut body);
    option(&mut body, COMMENT, comment);
    option(&mut body, END, "");
    block(PACKET, body)
}

fn option(body: &mut Vec<u8>, code: u16, text: &str) {
    let text = text.as_bytes().get(..usize::from(u16::MAX)).unwrap_or(text.as_bytes());
    body.extend(code.to_le_bytes());
    body.extend((text.len() as u16).to_le_bytes());
    body.extend(text);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A block has its length at both ends.
fn block(kind: u32, body: Vec<u8>) -> Vec<u8> {
    let length = (body.len() + 12) as u32;
    let mut block = Vec::with_capacity(body.len() + 12);
    block.extend(kind.to_le_bytes());
    block.extend(length.to_le_bytes());
    block.extend(body);
    block.extend(length.to_le_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_words_with_their_length_at_both_ends() {
        let blocks = [
            section(),
            interface("eth1"),
            interface(""),
            packet_at(1, 5 << 32 | 6, &[1, 2, 3, 4, 5], 60, "svclb: no_backend"),
            packet_at(0, 0, &[], 0, "x"),
        ];
        for bytes in blocks {
            assert!(bytes.len().is_multiple_of(4));
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            assert_eq!((word(4), word(bytes.len() - 4)), (bytes.len(), bytes.len()));
        }
    }
}
