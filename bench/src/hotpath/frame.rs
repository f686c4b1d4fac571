//! TCP frames, their ends, and other frames of the same flow.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use svclb_tests::packet::Packet;

use crate::case::Family;

/// TCP's control bits SYN and ACK.
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// Where things lie in a frame without options.
struct Places {
    src: usize,
    dst: usize,
    addr: usize,
    ports: usize,
    flags: usize,
}

fn places(family: Family) -> Places {
    match family {
        Family::V4 => Places { src: 26, dst: 30, addr: 4, ports: 34, flags: 47 },
        Family::V6 => Places { src: 22, dst: 38, addr: 16, ports: 54, flags: 67 },
    }
}

/// The frame of an established connection between two ends: 64 bytes, or 78 of IPv6.
pub(crate) fn between(source: SocketAddr, destination: SocketAddr) -> anyhow::Result<Vec<u8>> {
    frame(source, destination, "ack seq=1001 ack=7001")
}

/// The first frame of a connection, of the same size.
pub(crate) fn first(source: SocketAddr, destination: SocketAddr) -> anyhow::Result<Vec<u8>> {
    frame(source, destination, "syn seq=1000")
}

fn frame(source: SocketAddr, destination: SocketAddr, fields: &str) -> anyhow::Result<Vec<u8>> {
    let data = if source.is_ipv4() { "0123456789" } else { "0123" };
    let packet: Packet = format!("tcp {source} > {destination} {fields} data={data}").parse()?;
    Ok(packet.frame())
}

/// The frame with other control bits. The checksum is left: programs change it, and do not look whether it is right.
pub(crate) fn with_flags(family: Family, frame: &[u8], flags: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[places(family).flags] = flags;
    frame
}

/// The frame of another client, as the wrapper makes it.
pub(crate) fn of_client(frame: &[u8], bits: u32) -> Vec<u8> {
    // The whole address of IPv4, the second quarter of IPv6's.
    let at = 26;
    let mut frame = frame.to_vec();
    for (byte, other) in frame[at..at + 4].iter_mut().zip(bits.to_be_bytes()) {
        *byte ^= other;
    }
    frame
}

/// The answer to a frame.
pub(crate) fn answer(family: Family, frame: &[u8], flags: u8) -> Vec<u8> {
    let Places { src, dst, addr, ports, .. } = places(family);
    let mut answer = with_flags(family, frame, flags);
    answer[src..src + addr].copy_from_slice(&frame[dst..dst + addr]);
    answer[dst..dst + addr].copy_from_slice(&frame[src..src + addr]);
    answer[ports..ports + 2].copy_from_slice(&frame[ports + 2..ports + 4]);
    answer[ports + 2..ports + 4].copy_from_slice(&frame[ports..ports + 2]);
    answer
}

/// Source and destination.
pub(crate) fn ends(family: Family, frame: &[u8]) -> anyhow::Result<[SocketAddr; 2]> {
    let Places { src, dst, addr, ports, .. } = places(family);
    let at = |addr_at: usize, port_at: usize| {
        let bytes = frame.get(addr_at..addr_at + addr).context("the frame is short")?;
        let ip = match family {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(bytes)?),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(bytes)?),
        };
        let port =
            u16::from_be_bytes(frame.get(port_at..port_at + 2).context("the frame is short")?.try_into()?);
        anyhow::Ok(SocketAddr::from((ip, port)))
    };
    Ok([at(src, ports)?, at(dst, ports + 2)?])
}
