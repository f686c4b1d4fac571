//! Files of captured packets: pcap (libpcap's own) and pcapng.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};

use super::packet::framed;

/// Link types (`LINKTYPE_*`) that are read.
const ETHERNET: u32 = 1;
const RAW: [u32; 4] = [12, 101, 228, 229];
const LINUX_SLL: u32 = 113;
const LINUX_SLL2: u32 = 276;

/// The frames of a file, in their order.
pub(super) fn frames(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path).with_context(|| format!("--pcap {}", path.display()))?;
    parse(&bytes).with_context(|| format!("--pcap {}", path.display()))
}

fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    match bytes.first_chunk::<4>() {
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => classic(Reader { bytes, big: false }),
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => classic(Reader { bytes, big: true }),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => next_generation(bytes),
        _ => bail!("this is neither pcap nor pcapng"),
    }
}

/// Numbers in a byte order.
#[derive(Clone, Copy)]
struct Reader<'b> {
    bytes: &'b [u8],
    big: bool,
}

impl<'b> Reader<'b> {
    fn u32(self, at: usize) -> anyhow::Result<u32> {
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).context("it ends too early")?;
        Ok(if self.big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
    }

    fn u16(self, at: usize) -> anyhow::Result<u16> {
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<2>).context("it ends too early")?;
        Ok(if self.big { u16::from_be_bytes(*word) } else { u16::from_le_bytes(*word) })
    }

    fn take(self, at: usize, len: usize) -> anyhow::Result<&'b [u8]> {
        self.bytes.get(at..).and_then(|rest| rest.get(..len)).context("it ends too early")
    }
}

/// One header of 24 bytes, then 16 before each packet.
fn classic(file: Reader<'_>) -> anyhow::Result<Vec<Vec<u8>>> {
    let link = file.u32(20)? & 0xffff;
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.bytes.len() {
        let len = file.u32(at + 8)? as usize;
        frames.push(frame(link, file.take(at + 16, len)?)?);
        at += 16 + len;
    }
    Ok(frames)
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// Blocks, each with its length at both ends.
fn next_generation(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut file = Reader { bytes, big: false };
    let (mut at, mut links, mut frames) = (0, Vec::new(), Vec::new());
    while at < bytes.len() {
        let kind = file.u32(at)?;
        if kind == SECTION {
            file.big = file.take(at + 8, 4)? == [0x1a, 0x2b, 0x3c, 0x4d];
            links.clear();
        }
        let len = file.u32(at + 4)? as usize;
        ensure!(len >= 12 && len.is_multiple_of(4), "a block of {len} bytes");
        let body = Reader { bytes: file.take(at + 8, len - 12)?, big: file.big };
        let link = |interface: u32| {
            links.get(interface as usize).copied().context("a packet of an interface that is not described")
        };
        match kind {
            INTERFACE => links.push(u32::from(body.u16(0)?)),
            ENHANCED => {
                let captured = body.u32(12)? as usize;
                frames.push(frame(link(body.u32(0)?)?, body.take(20, captured)?)?);
            }
            SIMPLE => {
                let captured = (body.u32(0)? as usize).min(body.bytes.len().saturating_sub(4));
                frames.push(frame(link(0)?, body.take(4, captured)?)?);
            }
            _ => {}
        }
        at += len;
    }
    Ok(frames)
}

/// A captured packet as a frame of Ethernet.
fn frame(link: u32, packet: &[u8]) -> anyhow::Result<Vec<u8>> {
    let behind =
        |header: usize| packet.get(header..).map(framed).context("a packet without a whole link header");
    match link {
        ETHERNET => Ok(packet.to_vec()),
        LINUX_SLL => behind(16),
        LINUX_SLL2 => behind(20),
        link if RAW.contains(&link) => behind(0),
        other => bail!("link type {other} is not known: capture Ethernet, raw IP or Linux cooked packets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 6] = [0x45, 1, 2, 3, 4, 5];

    fn little(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn both_formats_and_all_links_are_read() {
        let record = |order: fn(u32) -> [u8; 4], magic: u32, link: u32| {
            let head = [magic, 0x0004_0002, 0, 0, 65_535, link, 1, 2, 6, 6];
            let mut file: Vec<u8> = head.into_iter().flat_map(order).collect();
            file.extend(PACKET);
            file
        };
        assert_eq!(parse(&record(u32::to_le_bytes, 0xa1b2_c3d4, 1)).unwrap(), [PACKET]);
        assert_eq!(parse(&record(u32::to_be_bytes, 0xa1b2_3c4d, 1)).unwrap(), [PACKET]);
        assert_eq!(parse(&record(u32::to_le_bytes, 0xa1b2_c3d4, 101)).unwrap(), [framed(&PACKET)]);
        assert!(parse(&record(u32::to_le_bytes, 0xa1b2_c3d4, 7)).is_err());
        assert!(parse(&record(u32::to_le_bytes, 0xa1b2_c3d4, 1)[..44]).is_err());

        let mut file = little(&[SECTION, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
        file.extend(little(&[INTERFACE, 20, 228, 0, 20]));
        file.extend(little(&[5, 12, 12]));
        file.extend(little(&[ENHANCED, 40, 0, 0, 0, 6, 6]));
        file.extend(PACKET);
        file.extend([0; 2]);
        file.extend(little(&[40]));
        assert_eq!(parse(&file).unwrap(), [framed(&PACKET)]);
        file.truncate(file.len() - 8);
        assert!(parse(&file).is_err());
        assert!(parse(b"neither").is_err());
    }
}
