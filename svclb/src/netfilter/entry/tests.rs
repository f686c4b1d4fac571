//! Entries against what the kernel says of them.

use proptest::prelude::*;

use super::*;
use crate::netfilter::message::{Reply, replies};

/// What Linux 6.18 answers to a dump, and what `conntrack -L` (1.4.7) prints of it:
///
/// ```text
/// tcp 6 299 ESTABLISHED src=10.244.1.11 dst=10.96.0.5 sport=40000 dport=80
///     src=10.244.2.13 dst=192.0.2.11 sport=8080 dport=1234 [ASSURED]
/// ```
const TCP: &str = "f0000000000122000000000061780000020000003400018014000180080001000af4010b080002000a600005\
    1c0002800500010006000000060002009c40000006000300005000003400028014000180080001000af4020d08000200c000020b\
    1c0002800500010006000000060002001f9000000600030004d2000008000300000001be080008000000000008000c009cc58797\
    08000b0000000001080007000000012a300004802c00018005000100030000000500020000000000050003000000000006000400\
    0a000000060005000a0000001c001880080001000000000008000200000000000800030000000000";

fn bytes() -> Vec<u8> {
    let digits: Vec<u8> = TCP.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn tuple_of(src: &str, dst: &str, protocol: u8) -> Tuple {
    Tuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol }
}

fn read(bytes: &[u8]) -> Option<Entry> {
    match replies(bytes).next() {
        Some(Reply::About { attributes, .. }) => Entry::read(attributes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_translated_connection_is_read() {
    let entry = read(&bytes()).unwrap();
    assert_eq!(entry.original, tuple_of("10.244.1.11:40000", "10.96.0.5:80", 6));
    assert_eq!(entry.reply, tuple_of("10.244.2.13:8080", "192.0.2.11:1234", 6));
    assert_eq!((entry.tcp, entry.timeout, entry.zone), (Some(TcpState::Established), 298, 0));
    assert_eq!(entry.status & (SEEN_REPLY | ASSURED | CONFIRMED), SEEN_REPLY | ASSURED | CONFIRMED);
    assert!(entry.translates_destination() && entry.translates_source());
}

/// What a request says, as the kernel would read it: the translations are attributes of their own there.
#[test]
fn what_is_written_names_both_translations() {
    for (reply, family) in [
        (tuple_of("10.244.2.13:8080", "192.0.2.11:1234", 6), 2),
        (tuple_of("[fd00::13]:8080", "[2001:db8::11]:1234", 6), 10),
    ] {
        let (client, frontend) = if family == 2 {
            ("10.244.1.11:40000", "10.96.0.5:80")
        } else {
            ("[fd00::b]:40000", "[fd00::5]:80")
        };
        let entry = Entry {
            original: tuple_of(client, frontend, 6),
            reply,
            status: SEEN_REPLY | ASSURED | CONFIRMED,
            timeout: 86_400,
            tcp: Some(TcpState::Established),
            zone: 0,
        };
        let mut message = Message::new(0x100, 0, 0, family, 0);
        entry.write(&mut message);
        let bytes = message.finish();
        let again = read(&bytes).unwrap();
        assert_eq!(again, Entry { reply: entry.original.reversed(), ..entry });
        let Some(Reply::About { attributes, .. }) = replies(&bytes).next() else { panic!() };
        for (kind, to) in [(attr::NAT_DST, reply.src), (attr::NAT_SRC, reply.dst)] {
            let nat = attribute(attributes, kind).unwrap();
            let min = if family == 2 { attr::NAT_V4_MIN } else { attr::NAT_V6_MIN };
            let octets = match to.ip() {
                IpAddr::V4(addr) => addr.octets().to_vec(),
                IpAddr::V6(addr) => addr.octets().to_vec(),
            };
            assert_eq!(attribute(nat, min), Some(&octets[..]));
            let proto = attribute(nat, attr::NAT_PROTO).unwrap();
            assert_eq!(attribute(proto, attr::PORT_MAX), Some(&to.port().to_be_bytes()[..]));
        }
    }
}

proptest! {
    /// Whatever becomes of one byte of a real message, or of its length, is read or is nothing.
    #[test]
    fn broken_messages_are_nothing_or_entries(at in 0_usize..240, value: u8, length in 0_usize..=240) {
        let mut bytes = bytes();
        bytes[at] = value;
        for reply in replies(&bytes[..length]) {
            if let Reply::About { attributes, .. } = reply {
                let _read = Entry::read(attributes);
            }
        }
    }

    #[test]
    fn hostile_bytes_are_nothing_or_entries(bytes: Vec<u8>) {
        let _read = Entry::read(&bytes);
    }
}
