//! `svclb monitor -o pcapng`: a file that others read, by a reader of this file's own.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place,
    client::Mode,
    layout::{Family, Frontend, POD1},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 161;

/// A packet with what the file says of it.
struct Packet {
    interface: String,
    comment: String,
    bytes: Vec<u8>,
    length: u32,
}

fn half(bytes: &[u8], at: usize) -> anyhow::Result<u16> {
    Ok(u16::from_le_bytes(bytes.get(at..at + 2).context("cut off")?.try_into()?))
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    Ok(u32::from_le_bytes(bytes.get(at..at + 4).context("cut off")?.try_into()?))
}

/// The option of that number (section 3.5 of the draft).
fn option(mut options: &[u8], wanted: u16) -> anyhow::Result<Option<String>> {
    while options.len() >= 4 {
        let (code, length) = (half(options, 0)?, usize::from(half(options, 2)?));
        if code == 0 {
            break;
        }
        if code == wanted {
            return Ok(Some(String::from_utf8(options.get(4..4 + length).context("cut off")?.into())?));
        }
        options = options.get(4 + length.next_multiple_of(4)..).context("cut off")?;
    }
    Ok(None)
}

/// Reads a file.
fn packets(mut file: &[u8]) -> anyhow::Result<Vec<Packet>> {
    let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
    ensure!(word(file, 0)? == 0x0a0d_0d0a && word(file, 8)? == 0x1a2b_3c4d, "no section");
    while !file.is_empty() {
        let (kind, length) = (word(file, 0)?, word(file, 4)? as usize);
        let (block, rest) = file.split_at_checked(length).context("a block goes on behind the file")?;
        ensure!(word(block, length - 4)? as usize == length, "a block's lengths differ");
        let body = &block[8..length - 4];
        match kind {
            1 => {
                ensure!(half(body, 0)? == 1, "not Ethernet");
                interfaces.push(option(&body[8..], 2)?.context("an interface without a name")?);
            }
            6 => {
                let captured = word(body, 12)? as usize;
                packets.push(Packet {
                    interface: interfaces.get(word(body, 0)? as usize).context("no such interface")?.clone(),
                    comment: option(&body[20 + captured.next_multiple_of(4)..], 1)?.unwrap_or_default(),
                    bytes: body[20..20 + captured].into(),
                    length: word(body, 16)?,
                });
            }
            _ => {}
        }
        file = rest;
    }
    Ok(packets)
}

fn are_exported(xdp: &str, place: &str) -> anyhow::Result<()> {
    world(|world| {
        let service = Service::new("ranged", SERVICE, &[POD1]);
        world.publish(&service.spec("loadBalancerSourceRanges: [203.0.113.77/32]"))?;
        let _agent = Agent::start(world, &["--xdp", xdp])?;
        let to = Frontend::LoadBalancer.of(SERVICE, Family::V4);
        world.ask(Place::Outside, Mode::Tcp, to, 1)?;
        let (packets, _) = until("a packet", PATIENCE, || {
            let output =
                world.svclb(&["monitor", "--history", "-o", "pcapng", "--reason", "source_range"])?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let packets = packets(&output.stdout)?;
            Ok((!packets.is_empty()).then_some(packets))
        })?;
        let packet = &packets[0];
        ensure!(packet.interface == "eth0", "on {}", packet.interface);
        let wanted = format!("svclb: source_range at uplink eth0 {place}, default/ranged:tcp: ");
        ensure!(packet.comment.starts_with(&wanted), "{}", packet.comment);
        ensure!(packet.length as usize >= packet.bytes.len(), "longer than it was");
        let headers = etherparse::PacketHeaders::from_ethernet_slice(&packet.bytes)?;
        let tcp = headers.transport.and_then(etherparse::TransportHeader::tcp).context("not TCP")?;
        ensure!(tcp.syn && tcp.destination_port == to.port(), "{tcp:?}");
        Ok(())
    })
}

#[test]
fn a_packet_that_the_stack_would_have_got() -> anyhow::Result<()> {
    are_exported("off", "ingress")
}

#[test]
fn a_packet_that_the_stack_has_never_seen() -> anyhow::Result<()> {
    are_exported("generic", "ingress (xdp)")
}
