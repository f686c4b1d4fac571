//! What must hold of any frame that leaves a program.
//!
//! Checksums are judged twice: what was right is right by [`judge`](referee), and whatever the sum over what a
//! checksum covers was before, it is after. So a frame that was broken on its way is not mended, and not broken
//! further.

use std::ops::Range;

use etherparse::{Ipv4Header, checksum::Sum16BitWords};
use svclb_tests::packet::judge as referee;

use super::{
    ends::{Ends, Whose},
    view::{ETHERNET, SCTP, TCP, UDP, View},
};
use crate::lab::Verdict;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the stack's, as it came.
    Left,
    /// It has other addresses.
    Translated,
    /// It travels in another one.
    Wrapped,
    /// It was in another one.
    Unwrapped,
    /// Its sender was told something.
    Answered,
    /// It is gone.
    Dropped,
}

impl Fate {
    /// Each of them, in order.
    pub(super) const ALL: [Self; 6] =
        [Self::Left, Self::Translated, Self::Wrapped, Self::Unwrapped, Self::Answered, Self::Dropped];
}

/// The fate of a frame, or what is wrong with it.
pub(super) fn judge(ends: &Ends, frame: &[u8], verdict: Verdict, out: &[u8]) -> Result<Fate, String> {
    let is_same = out == frame;
    // The mark is for what was translated. Where only the port is, later fragments come out as they came: a node port at
    // the address of its backend, which a packet in another one may be to.
    let is_later = || View::of(frame).is_some_and(|view| view.is_later);
    ensure(!is_same || verdict != Verdict::Done || is_later(), "marked, and as it came")?;
    if is_same && verdict == Verdict::Next {
        return Ok(Fate::Left);
    }
    let whose = View::of(frame).and_then(|view| Some((view, ends.whose(&view, frame)?)));
    let Some((view, whose)) = whose else {
        return Err(format!("{verdict:?} of what is no Service's: {:x?}", View::of(frame)));
    };
    if verdict == Verdict::Drop {
        return Ok(Fate::Dropped);
    }
    let fate = match whose {
        Whose::Service | Whose::Carrying(_) if out.len() == frame.len() => {
            translated(ends, &view, frame, out).map(|()| Fate::Translated)
        }
        Whose::Service | Whose::About(_) if out.len() > frame.len() => {
            wrapped(ends, &view, frame, out).map(|()| Fate::Wrapped)
        }
        Whose::Around(inner) => around(&inner, out).map(|()| Fate::Answered),
        Whose::About(quote) if out.len() == frame.len() => {
            about(&view, &quote, frame, out).map(|()| Fate::Translated)
        }
        Whose::Carrying(inner) if out.len() + inner.at == frame.len() + ETHERNET => {
            let bare = [&frame[..ETHERNET], &frame[inner.at..]].concat();
            let view = View::of(&bare).ok_or("the inner packet is none")?;
            let changed = match view.quoted(&bare) {
                Some(quote) => about(&view, &quote, &bare, out),
                None => translated(ends, &view, &bare, out),
            };
            changed.and_then(|()| checked(&bare, out)).map(|()| Fate::Unwrapped)
        }
        _ => Err(String::new()),
    };
    match fate {
        Ok(fate @ (Fate::Unwrapped | Fate::Answered)) => Ok(fate),
        Ok(fate) => checked(frame, out).map(|()| fate),
        Err(fault) => match answered(ends, &view, frame, out) {
            Ok(()) => Ok(Fate::Answered),
            Err(other) => Err(format!("{verdict:?}: {fault}; as an answer: {other}")),
        },
    }
}

fn ensure(holds: bool, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

/// What was right is right. An IPv6 length of zero tells nothing: etherparse takes it for all there is; and it leaves
/// IPv4's reserved bit out of the sum.
fn checked(frame: &[u8], out: &[u8]) -> Result<(), String> {
    const LEN: Range<usize> = ETHERNET + 4..ETHERNET + 6;
    let is_endless = frame[12..ETHERNET] == [0x86, 0xdd] && frame[LEN] == [0; 2];
    let is_reserved = frame[12..ETHERNET] == [0x08, 0x00] && frame[ETHERNET + 6] & 0x80 != 0;
    if is_endless || is_reserved || referee(frame).is_err() { Ok(()) } else { referee(out) }
}

/// Only what a translation is about is different, and all sums are as they were.
fn translated(ends: &Ends, view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    header(view, frame, out)?;
    let l4 = view.l4;
    if view.is_later {
        return same(frame, out, l4, frame.len(), "the payload");
    }
    let (check, end) = check_of(view.proto, l4).ok_or("it is translated, and has no transport")?;
    if frame.len() < end {
        return Err("it is translated, and its headers are not all there".to_owned());
    }
    same(frame, out, l4 + 4, check, "what is behind the ports")?;
    same(frame, out, end, frame.len(), "the payload")?;
    let after = View::of(out).ok_or("what comes out is none")?;
    ensure(ends.is_translated(&after), "neither to a backend, nor from a frontend")?;
    if view.proto == SCTP {
        let is_kept = [frame, out].map(|frame| frame[check..end] == [0; 4]);
        return ensure(is_kept[0] == is_kept[1], "a CRC that was left to the device");
    }
    let is_absent = [frame, out].map(|frame| frame[check..end] == [0; 2]);
    if view.proto == UDP {
        ensure(is_absent[0] == is_absent[1], "there is a UDP checksum, or there is none")?;
        if is_absent[0] {
            return Ok(());
        }
    }
    let sums =
        [frame, out].map(|frame| sum(&[addresses(view, frame), &frame[l4..l4 + 4], &frame[check..end]]));
    ensure(sums[0] == sums[1], "the transport's sum is another one")
}

/// Nothing but addresses, hops and the header's checksum is different in the IP header and behind it.
fn header(view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    same(frame, out, 12, ETHERNET, "the EtherType")?;
    let at = view.at;
    let hops = if view.is_v6 { at + 7 } else { at + 8 };
    same(frame, out, at, hops, "the IP header")?;
    let fewer = frame[hops].wrapping_sub(out[hops]);
    ensure(fewer <= 1, "hops")?;
    if view.is_v6 {
        return same(frame, out, at + 40, view.l4, "the extension headers");
    }
    same(frame, out, at + 9, at + 10, "the protocol")?;
    same(frame, out, at + 20, view.l4, "the options")?;
    let end = at + usize::from(frame[at] & 15) * 4;
    let sums = [frame, out].map(|frame| sum(&[&frame[at..end]]));
    ensure(sums[0] == sums[1], "the IPv4 header's sum is another one")
}

/// An error and what it quotes: the ends only, and all sums as they were.
fn about(view: &View, quote: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    header(view, frame, out)?;
    let l4 = view.l4;
    same(frame, out, l4, l4 + 2, "the ICMP message's kind")?;
    same(frame, out, l4 + 4, quote.at, "the ICMP message's value")?;
    let sums = [frame, out].map(|frame| {
        let addresses = if view.is_v6 { addresses(view, frame) } else { &[] };
        sum(&[addresses, &frame[l4..]])
    });
    ensure(sums[0] == sums[1], "the ICMP message's sum is another one")?;
    header(quote, frame, out)?;
    let (check, end) = check_of(quote.proto, quote.l4).ok_or("the quote has no transport")?;
    let behind = |at: usize| at.min(frame.len());
    same(frame, out, behind(quote.l4 + 4), behind(check), "what is behind the quoted ports")?;
    same(frame, out, behind(end), frame.len(), "the quoted payload")
}

/// The packet in the new one is the old one, one hop on.
fn wrapped(ends: &Ends, view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    let around = out.len() - frame.len();
    let outer = View::of(out).ok_or("the outer packet is none")?;
    ensure(outer.is_v6 == view.is_v6, "the outer packet's family")?;
    ensure(ends.is_backend_addr(&outer.dst), "the outer packet is to no backend")?;
    let inner = outer.inner(out).ok_or("nothing is in it")?;
    ensure(inner.at == ETHERNET + around, "the outer headers' size")?;
    let bare = [&out[..ETHERNET], &out[inner.at..]].concat();
    header(view, frame, &bare)?;
    ensure((view.src, view.dst) == (inner.src, inner.dst), "the inner addresses")?;
    same(frame, &bare, view.l4, frame.len(), "the inner packet")?;
    let len = |at: usize| usize::from(u16::from_be_bytes([out[at], out[at + 1]]));
    if view.is_v6 {
        ensure(len(ETHERNET + 4) == len(inner.at + 4) + around, "the outer length")
    } else {
        ensure(sum(&[&out[ETHERNET..ETHERNET + 20]]) == 0, "the outer header's checksum")?;
        ensure(len(ETHERNET + 2) == len(inner.at + 2) + around, "the outer length")
    }
}

/// Who sent the packet that another one carried is told that it is too big.
fn around(inner: &View, out: &[u8]) -> Result<(), String> {
    referee(out)?;
    let after = View::of(out).ok_or("none")?;
    let kind = out.get(after.l4..after.l4 + 2).ok_or("cut")?;
    let is_too_big = after.is_icmp() && kind == if after.is_v6 { [2, 0] } else { [3, 4] };
    ensure(is_too_big && after.dst == inner.src, "not the word for who sent what was carried")
}

/// The sender is told that nobody serves, that its packet is too big or has come too far, or that somebody is there.
fn answered(ends: &Ends, view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    let after = View::of(out).ok_or("none")?;
    ensure(after.dst == view.src, "it is not to the sender")?;
    let is_too_far = after.is_icmp()
        && out.get(after.l4..after.l4 + 2) == Some(if after.is_v6 { &[3, 0] } else { &[11, 0] });
    let is_from = after.src == view.dst || is_too_far && Ends::is_nodes(&after.src);
    ensure(is_from, "it is not from whom the sender asked")?;
    if after.is_icmp() && view.is_echo(frame) && after.l4 == view.l4 {
        return echoed(view, frame, out);
    }
    right(view, frame, out)?;
    if after.proto == TCP {
        const RESET: u8 = 4;
        ensure(ends.is_refusable(view), "somebody serves")?;
        ensure(out.get(after.l4 + 13).is_some_and(|flags| flags & RESET != 0), "no reset")?;
        let swapped = view.ports.map(|(src, dst)| (dst, src));
        return ensure(after.ports == swapped, "ports");
    }
    ensure(after.is_icmp(), "what is it?")?;
    let kind = out.get(after.l4..after.l4 + 2).ok_or("cut")?;
    match (after.is_v6, kind) {
        (false, [3, 3]) | (true, [1, 4]) => ensure(ends.is_refusable(view), "somebody serves")?,
        (false, [3, 4]) | (true, [2, 0]) => {}
        (false, [11, 0]) | (true, [3, 0]) => {
            let hops = frame[if view.is_v6 { view.at + 7 } else { view.at + 8 }];
            ensure(hops <= 1, "it may go on")?;
        }
        _ => return Err(format!("ICMP {kind:?}")),
    }
    let quote = &out[after.l4 + 8..];
    let asked = &frame[ETHERNET..];
    let shown = quote.len().min(asked.len());
    ensure(quote[..shown] == asked[..shown], "it quotes another packet")
}

/// An echo is the question with another kind; the sum of its message is as it was.
fn echoed(view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    let l4 = view.l4;
    ensure(out.len() == frame.len(), "an echo of another length")?;
    ensure(out[l4] == if view.is_v6 { 129 } else { 0 }, "another message than an echo")?;
    ensure(out[l4 + 1] == frame[l4 + 1], "the echo's code")?;
    same(frame, out, l4 + 4, out.len(), "the echo")?;
    ensure(sum(&[&frame[l4..]]) == sum(&[&out[l4..]]), "the echo's sum is another one")?;
    checked(frame, out)
}

/// An answer is right whatever it answers. Only a wrong IPv4 header stays wrong: it is the question's, with both
/// addresses swapped, and no stack takes it.
fn right(view: &View, frame: &[u8], out: &[u8]) -> Result<(), String> {
    if seems_partial(view, frame) {
        return Ok(());
    }
    let end = view.at + usize::from(frame[view.at] & 15) * 4;
    if view.is_v6 || sum(&[&frame[view.at..end]]) == 0 {
        return referee(out);
    }
    let (header, _rest) = Ipv4Header::from_slice(&out[view.at..]).map_err(|error| error.to_string())?;
    let mut mended = out.to_vec();
    let place = view.at + 10;
    mended[place..place + 2].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    referee(&mended)
}

/// Whether the checksum is, by chance, what the kernel leaves there for a device that completes it (1 frame in 65,536):
/// a program of TC cannot tell them apart, and leaves the answer's to the device too.
fn seems_partial(view: &View, frame: &[u8]) -> bool {
    let Some((check, end)) =
        check_of(view.proto, view.l4).filter(|(_, end)| view.proto != SCTP && *end <= frame.len())
    else {
        return false;
    };
    let len = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let total = if view.is_v6 { len(view.at + 4).wrapping_add(40) } else { len(view.at + 2) };
    let behind = total.wrapping_sub((view.l4 - view.at) as u16);
    let pseudo = [addresses(view, frame), &u16::from(view.proto).to_be_bytes(), &behind.to_be_bytes()];
    // The same sum, complemented.
    sum(&pseudo) == !len(check) && end - check == 2
}

/// Where the checksum of a transport is.
fn check_of(proto: u8, l4: usize) -> Option<(usize, usize)> {
    match proto {
        TCP => Some((l4 + 16, l4 + 18)),
        UDP => Some((l4 + 6, l4 + 8)),
        SCTP => Some((l4 + 8, l4 + 12)),
        _ => None,
    }
}

/// Both addresses.
fn addresses<'f>(view: &View, frame: &'f [u8]) -> &'f [u8] {
    let at = view.at;
    if view.is_v6 { &frame[at + 8..at + 40] } else { &frame[at + 12..at + 20] }
}

fn same(frame: &[u8], out: &[u8], from: usize, to: usize, what: &str) -> Result<(), String> {
    if from >= to || frame[from..to] == out[from..to] { Ok(()) } else { Err(format!("{what} is different")) }
}

/// The sum in ones' complement, of which there is one zero.
fn sum(parts: &[&[u8]]) -> u16 {
    let sum = parts.iter().fold(Sum16BitWords::new(), |sum, part| sum.add_slice(part));
    // The complement of the sum, and of that the one of two zeros.
    match sum.ones_complement() {
        u16::MAX => 0,
        complement => complement,
    }
}

#[cfg(test)]
mod tests {
    use svclb_tests::packet::Packet;

    use super::*;

    /// Packets, and what a program makes of them.
    const RIGHT: [(&str, &str); 5] = [
        ("tcp 10.244.1.5:40000 > 10.96.0.10:80 ack options=longest data=hello", "dst=10.244.1.7:8080"),
        ("udp 10.244.1.5:40000 > 10.96.0.53:53 data=question", "dst=10.244.2.9:5353"),
        ("udp [fd00:244:1::5]:40000 > [fd00:96::53]:53 data=question", "dst=[fd00:244:1::5]:53"),
        ("sctp 10.244.1.5:40000 > 10.96.0.20:5060 chunk=init size=20", "dst=10.244.1.8:5060"),
        (
            "unreachable 10.244.2.9 > 10.244.1.5 about udp 10.244.1.5:40000 > 10.244.2.9:5353 data=question",
            "unreachable 10.96.0.53 > 10.244.1.5 about udp 10.244.1.5:40000 > 10.96.0.53:53 data=question",
        ),
    ];

    #[test]
    fn every_wrong_byte_of_a_translation_is_seen() {
        let ends = Ends::new(false, false);
        for (line, then) in RIGHT {
            let packet: Packet = line.parse().unwrap();
            let (frame, out) = (packet.frame(), packet.then(then).unwrap().frame());
            assert_eq!(judge(&ends, &frame, Verdict::Next, &out), Ok(Fate::Translated), "{line}");
            for at in 12..out.len() {
                let mut wrong = out.clone();
                wrong[at] ^= 0x10;
                assert!(judge(&ends, &frame, Verdict::Next, &wrong).is_err(), "{line}: byte {at}");
            }
        }
    }

    #[test]
    fn nobody_touches_what_is_no_services() {
        let ends = Ends::new(false, false);
        let packet: Packet = "tcp 10.244.1.5:40000 > 10.96.0.10:81 syn".parse().unwrap();
        let (frame, out) = (packet.frame(), packet.then("dst=10.244.1.7:8080").unwrap().frame());
        assert_eq!(judge(&ends, &frame, Verdict::Next, &frame), Ok(Fate::Left));
        assert!(judge(&ends, &frame, Verdict::Done, &frame).is_err());
        assert!(judge(&ends, &frame, Verdict::Drop, &frame).is_err());
        assert!(judge(&ends, &frame, Verdict::Next, &out).is_err());
    }
}
