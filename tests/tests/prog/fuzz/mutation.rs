//! Frames as nobody sends them: valid ones with changes, and bytes of no meaning.

use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::seeds::{ADDRESSES, PORTS, frames};

/// `BPF_PROG_TEST_RUN` takes no frame without a byte behind the Ethernet header, and
/// since Linux 6.18 none that ends before the IP header which its `EtherType` promises.
const SHORTEST: usize = 15;

/// A frame with the kernel's room before and behind it fits a page.
const LONGEST: usize = 3072;

/// Most changes of a frame.
const MOST: usize = 5;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A change of a frame. Places are taken modulo its length, so that it can be made without those before it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mutation {
    /// Other bits in a byte.
    Flip(usize, u8),
    /// Another word at an even place, where lengths and ports are.
    Word(usize, u16),
    /// Fewer bytes.
    Cut(usize),
    /// More bytes behind the others.
    Append(u64),
    /// More bytes among the others.
    Insert(usize, u64),
    /// Some bytes twice.
    Repeat(usize, usize),
    /// Some bytes not at all.
    Remove(usize, usize),
    /// An address that means something: of the packet, of one in it, or of one that an error quotes.
    Address(usize, usize),
    /// A port that means something, at one of the places where one may be.
    Port(usize, usize),
}

/// Where a frame comes from.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// A valid one.
    Seed(usize),
    /// No frame at all: this many bytes, of this `EtherType`.
    Noise(usize, Option<u16>, u64),
}

/// How a frame is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making {
    base: Base,
    mutations: [Option<Mutation>; MOST],
}

impl Making {
    /// Any.
    pub(super) fn any(rng: &mut Rng, seeds: &Seeds) -> Self {
        let mut mutations = [None; MOST];
        if rng.u8(..) < 24 {
            let ethertype = [Some(0x0800), Some(0x86dd), Some(0x0806), None][rng.usize(..4)];
            return Self { base: Base::Noise(rng.usize(SHORTEST..200), ethertype, rng.u64(..)), mutations };
        }
        let count = rng.usize(..=MOST);
        mutations[..count].fill_with(|| Some(Mutation::any(rng)));
        Self { base: Base::Seed(rng.usize(..seeds.0.len())), mutations }
    }

    /// Writes the frame.
    pub(super) fn write(&self, seeds: &Seeds, frame: &mut Vec<u8>) {
        frame.clear();
        match self.base {
            Base::Seed(at) => frame.extend_from_slice(&seeds.0[at]),
            Base::Noise(len, ethertype, seed) => {
                frame.resize(len, 0);
                Rng::with_seed(seed).fill(frame);
                if let Some(ethertype) = ethertype {
                    frame[12..ETHERNET].copy_from_slice(&ethertype.to_be_bytes());
                }
            }
        }
        for mutation in self.mutations.iter().flatten() {
            mutation.apply(frame);
        }
        let shortest = match frame.get(12..ETHERNET) {
            Some([0x08, 0x00]) => ETHERNET + 20,
            Some([0x86, 0xdd]) => ETHERNET + 40,
            _ => SHORTEST,
        };
        frame.resize(frame.len().clamp(shortest, LONGEST), 0);
    }

    /// The same with one change less, for each of them.
    pub(super) fn simpler(self) -> impl Iterator<Item = Self> {
        (0..MOST).filter(move |at| self.mutations[*at].is_some()).map(move |at| {
            let mut simpler = self;
            simpler.mutations[at] = None;
            simpler
        })
    }
}

/// The valid frames.
pub(super) struct Seeds(Vec<Vec<u8>>);

impl Seeds {
    /// All of them.
    pub(super) fn new() -> Self {
        Self(frames())
    }
}

impl Mutation {
    fn any(rng: &mut Rng) -> Self {
        // Most places are in the headers.
        let at = if rng.bool() { 12 + rng.usize(..64) } else { rng.usize(..2048) };
        match rng.u8(..16) {
            0..4 => Self::Flip(at, if rng.bool() { 1 << rng.u8(..8) } else { rng.u8(1..) }),
            4..7 => Self::Word(at, [0, 0xffff, rng.u16(..64), rng.u16(..)][rng.usize(..4)]),
            7 => Self::Cut(at),
            8 => Self::Append(rng.u64(..)),
            9 => Self::Insert(at, rng.u64(..)),
            10 => Self::Repeat(at, rng.usize(1..48)),
            11 => Self::Remove(at, rng.usize(1..48)),
            12..14 => Self::Address(rng.usize(..), rng.usize(..)),
            _ => Self::Port(rng.usize(..), rng.usize(..)),
        }
    }

    fn apply(self, frame: &mut Vec<u8>) {
        let len = frame.len();
        match self {
            Self::Flip(at, bits) => frame[at % len] ^= bits,
            Self::Word(at, word) => put(frame, (at % (len / 2 * 2)) & !1, &word.to_be_bytes()),
            Self::Cut(at) => frame.truncate((at % len).max(SHORTEST)),
            Self::Append(seed) => insert(frame, len, seed),
            Self::Insert(at, seed) => insert(frame, at % len, seed),
            Self::Repeat(at, count) => {
                let at = at % len;
                let end = (at + count).min(len);
                frame.extend_from_within(at..end);
                frame[at..].rotate_right(end - at);
            }
            Self::Remove(at, count) => {
                let at = at % len;
                let end = (at + count).min(len);
                if len - (end - at) >= SHORTEST {
                    frame.drain(at..end);
                }
            }
            Self::Address(place, which) => {
                let (v4, v6) = ADDRESSES[which % ADDRESSES.len()];
                if is_v6(frame) {
                    let ip: Ipv6Addr = v6.parse().expect("an address");
                    let base = ETHERNET + [0, 0, 0, 40, 48][place / 2 % 5];
                    put(frame, base + [8, 24][place % 2], &ip.octets());
                } else {
                    let ip: Ipv4Addr = v4.parse().expect("an address");
                    let base = ETHERNET + [0, 0, 0, 20, 28][place / 2 % 5];
                    put(frame, base + [12, 16][place % 2], &ip.octets());
                }
            }
            Self::Port(place, which) => {
                let header = if is_v6(frame) { 40 } else { 20 };
                let base = ETHERNET + header + [0, 0, 0, header, 8 + header][place / 2 % 5];
                put(frame, base + [0, 2][place % 2], &PORTS[which % PORTS.len()].to_be_bytes());
            }
        }
    }
}

fn is_v6(frame: &[u8]) -> bool {
    frame.get(12..ETHERNET) == Some(&[0x86, 0xdd])
}

/// Writes bytes where there are any.
fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Puts a few bytes of no meaning in.
fn insert(frame: &mut Vec<u8>, at: usize, seed: u64) {
    let mut bytes = [0; 80];
    let mut rng = Rng::with_seed(seed);
    let bytes = &mut bytes[..rng.usize(1..=80)];
    rng.fill(bytes);
    frame.extend_from_slice(bytes);
    frame[at..].rotate_right(bytes.len());
}
