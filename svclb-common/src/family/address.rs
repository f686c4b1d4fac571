//! Addresses as they lie in a packet.

use crate::{checksum::Sum, hash::Hash, key::Key};

/// An IP address in network byte order, as it lies in a packet.
pub trait Address: Key + Eq + Send + Sync + core::fmt::Debug + bytemuck::Pod {
    /// The unspecified address: what std calls `UNSPECIFIED`.
    const ZERO: Self;
    /// Sums the change from `self` to `new`.
    fn change(self, new: Self, sum: Sum) -> Sum;
    /// Adds the address to a sum.
    fn sum(self, sum: Sum) -> Sum;
    /// Adds the address to a hash.
    fn hash(self, hash: Hash) -> Hash;
    /// The address in 32 bits, for who only needs places that differ.
    fn mix(self) -> u32;
    /// The address in 16 bytes; IPv4 in the first four, the rest zero.
    fn widen(self) -> [u8; 16];
    /// Whether the address is in 127.0.0.0/8, or is `::1`.
    fn is_loopback(self) -> bool;
    /// Whether this is `other`, found out without branches.
    fn is(self, other: Self) -> bool;
    /// Whether the bits under `mask` are those of `prefix`.
    fn is_in(self, prefix: Self, mask: Self) -> bool;
}

/// An IPv4 address, network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Addr4(pub u32);

/// An IPv6 address, network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Addr6(pub [u32; 4]);

impl Address for Addr4 {
    const ZERO: Self = Self(0);

    #[inline(always)]
    fn change(self, new: Self, sum: Sum) -> Sum {
        sum.swap32(self.0, new.0)
    }

    #[inline(always)]
    fn sum(self, sum: Sum) -> Sum {
        sum.add32(self.0)
    }

    #[inline(always)]
    fn hash(self, hash: Hash) -> Hash {
        hash.word(u32::from_be(self.0))
    }

    #[inline(always)]
    fn mix(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn widen(self) -> [u8; 16] {
        bytemuck::cast([self.0, 0, 0, 0])
    }

    #[inline(always)]
    fn is_loopback(self) -> bool {
        self.0 & 0xff00_0000_u32.to_be() == 0x7f00_0000_u32.to_be()
    }

    #[inline(always)]
    fn is(self, other: Self) -> bool {
        self.0 == other.0
    }

    #[inline(always)]
    fn is_in(self, prefix: Self, mask: Self) -> bool {
        (self.0 ^ prefix.0) & mask.0 == 0
    }
}

impl Addr6 {
    /// The IPv4 address that `self` maps (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2).
    #[inline(always)]
    pub fn mapped(self) -> Option<Addr4> {
        let [a, b, c, v4] = self.0;
        (a == 0 && b == 0 && c == 0xffff_u32.to_be()).then_some(Addr4(v4))
    }

    /// `v4` as an IPv4-mapped IPv6 address.
    #[inline(always)]
    pub fn from_mapped(v4: Addr4) -> Self {
        Self([0, 0, 0xffff_u32.to_be(), v4.0])
    }
}

impl Address for Addr6 {
    const ZERO: Self = Self([0; 4]);

    #[inline(always)]
    fn change(self, new: Self, sum: Sum) -> Sum {
        let (old, new) = (self.0, new.0);
        sum.swap32(old[0], new[0]).swap32(old[1], new[1]).swap32(old[2], new[2]).swap32(old[3], new[3])
    }

    #[inline(always)]
    fn sum(self, sum: Sum) -> Sum {
        let [a, b, c, d] = self.0;
        sum.add32(a).add32(b).add32(c).add32(d)
    }

    #[inline(always)]
    fn hash(self, hash: Hash) -> Hash {
        let [a, b, c, d] = self.0.map(u32::from_be);
        hash.word(a).word(b).word(c).word(d)
    }

    #[inline(always)]
    fn mix(self) -> u32 {
        let [a, b, c, d] = self.0;
        a ^ b.rotate_left(7) ^ c.rotate_left(15) ^ d
    }

    #[inline(always)]
    fn widen(self) -> [u8; 16] {
        bytemuck::cast(self.0)
    }

    #[inline(always)]
    fn is_loopback(self) -> bool {
        self.0 == [0, 0, 0, 1_u32.to_be()]
    }

    #[inline(always)]
    fn is(self, other: Self) -> bool {
        self.is_in(other, Self([u32::MAX; 4]))
    }

    #[inline(always)]
    fn is_in(self, prefix: Self, mask: Self) -> bool {
        let differs = |word: usize| (self.0[word] ^ prefix.0[word]) & mask.0[word];
        differs(0) | differs(1) | differs(2) | differs(3) == 0
    }
}
