//! Map keys: natural structs, and the way they reach the stack.
#![expect(unsafe_code, reason = "keys are copied to the stack word by word")]

use core::mem::MaybeUninit;

use crate::{
    family::Address, flow::Recipe, fragment::FragmentKey, service::AffinityKey, socket::SocketPeer,
    wire::Transport,
};

/// Where a program sits on its device. It is part of every flow's key: the same
/// tuple means different things on its way in and on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hook {
    /// The packet comes from the device.
    Ingress = 0,
    /// The packet is about to leave by the device.
    Egress = 1,
}

impl Hook {
    /// The hook on the other side of the device.
    #[must_use]
    #[inline(always)]
    pub fn other(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// Key of the frontends: an exact address, port and protocol.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendKey<A> {
    /// Virtual address.
    pub addr: A,
    /// Port, network byte order.
    pub port: u16,
    /// IANA protocol number.
    pub proto: u8,
    /// Zero.
    pub pad: u8,
}

impl<A: Address> FrontendKey<A> {
    /// The key of (`addr`, `port` in network byte order, `transport`).
    #[inline(always)]
    pub fn new(addr: A, port: u16, transport: Transport) -> Self {
        Self { addr, port, proto: transport.number(), pad: 0 }
    }

    /// A number whose upper bits differ for most keys, for who only needs places that differ.
    #[inline(always)]
    pub fn spread(&self) -> u64 {
        spread(self.addr.mix() ^ u32::from(self.port).rotate_left(16) ^ u32::from(self.proto))
    }
}

/// Key of the flows: a packet's tuple as the hook sees it, before translation.
///
/// Aligned to 8, because the compiler copies both addresses by one 8-byte store and
/// the verifier refuses misaligned accesses to the stack.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port, network byte order.
    pub sport: u16,
    /// Destination port, network byte order.
    pub dport: u16,
    /// IANA protocol number.
    pub proto: u8,
    /// [`Hook`].
    pub hook: u8,
    /// Zero.
    pub pad: u16,
}

impl<A: Address> FlowKey<A> {
    /// The key that the other direction has at `hook` when nothing is translated.
    #[must_use]
    #[inline(always)]
    pub fn reversed(self, hook: Hook) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, hook: hook as u8, ..self }
    }

    /// A number whose upper bits differ for most keys, for who only needs places that differ.
    #[inline(always)]
    pub fn spread(&self) -> u64 {
        let ports = u32::from(self.sport) << 16 | u32::from(self.dport);
        spread(self.src.mix() ^ self.dst.mix().rotate_left(13) ^ ports ^ u32::from(self.hook) << 8)
    }
}

/// Puts what differs anywhere into the upper bits: by the golden ratio of 2^64 (Knuth, "The Art of Computer
/// Programming", 6.4).
#[inline(always)]
pub(crate) fn spread(mixed: u32) -> u64 {
    u64::from(mixed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Which way a socket's translation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SocketWay {
    /// From the frontend that the process names to the backend.
    Forward = 0,
    /// From the backend that the kernel knows to the frontend that the process named.
    Reverse = 1,
}

/// Key of the translations made at sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketKey<A> {
    /// The socket: `bpf_get_socket_cookie`, in two halves so that no family needs padding.
    pub cookie: [u32; 2],
    /// Frontend's or backend's address.
    pub addr: A,
    /// Frontend's or backend's port, network byte order.
    pub port: u16,
    /// IANA protocol number.
    pub proto: u8,
    /// [`SocketWay`].
    pub way: u8,
}

impl<A: Address> SocketKey<A> {
    /// The key of a translation made at socket `cookie`; `port` in network byte order.
    #[inline(always)]
    pub fn new(cookie: u64, addr: A, port: u16, transport: Transport, way: SocketWay) -> Self {
        Self {
            cookie: [cookie as u32, (cookie >> 32) as u32],
            addr,
            port,
            proto: transport.number(),
            way: way as u8,
        }
    }
}

/// Keys, and some values, without padding, that [`Wide`] can copy and [`word`] can read.
///
/// # Safety
/// The type must have no padding, and a size that is a multiple of 4.
pub unsafe trait Key: Copy {}

// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 4 bytes.
unsafe impl<A: Address> Key for FrontendKey<A> {}
// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 8 bytes.
unsafe impl<A: Address> Key for FlowKey<A> {}
// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 8 bytes.
unsafe impl<A: Address> Key for FragmentKey<A> {}
// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 12 bytes.
unsafe impl<A: Address> Key for SocketKey<A> {}
// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 4 bytes.
unsafe impl<A: Address> Key for AffinityKey<A> {}
// SAFETY: addresses are 4 or 16 bytes at alignment 4; the rest fills 12 bytes. A value, copied as keys are.
unsafe impl<A: Address> Key for SocketPeer<A> {}
// SAFETY: as above; `flow::tests` asserts the sizes. A value, read as keys are.
unsafe impl<A: Address> Key for Recipe<A> {}
// SAFETY: a value of 4 bytes.
unsafe impl Key for crate::family::Addr4 {}
// SAFETY: a value of 16 bytes at alignment 4.
unsafe impl Key for crate::family::Addr6 {}

/// A key put in memory by 8-byte stores only (one 4-byte store for an odd tail).
///
/// The kernel compares keys by 8-byte loads, and a load over younger, narrower
/// stores waits until they have left the store buffer: measured 10 ns and more,
/// a lookup's own time. A struct initialiser makes just such stores.
#[repr(C, align(8))]
pub struct Wide<K>(MaybeUninit<K>);

impl<K: Key> Wide<K> {
    /// Copies `key`.
    #[inline(always)]
    pub fn new(key: K) -> Self {
        let mut wide = Self(MaybeUninit::uninit());
        // SAFETY: valid, and aligned to 8 as `Wide` is.
        unsafe { copy_wide(&key, wide.0.as_mut_ptr()) };
        wide
    }

    /// The key.
    #[inline(always)]
    pub fn get(&self) -> &K {
        // SAFETY: `new` wrote every byte.
        unsafe { self.0.assume_init_ref() }
    }
}

/// Replaces `to` by `key` in the way of [`Wide`].
#[inline(always)]
pub fn put_wide<K: Key>(to: &mut K, key: K) {
    const { assert!(align_of::<K>() == 8) };
    // SAFETY: valid, and aligned to 8.
    unsafe { copy_wide(&key, to) };
}

/// How many whole words of 8 bytes the value has.
pub const fn words<K: Key>() -> usize {
    size_of::<K>() / 8
}

/// Word `i` of the value, as it lies in memory now: a table may write it anew meanwhile. 0 behind its end.
#[inline(always)]
pub fn word<K: Key>(value: &K, i: usize) -> u64 {
    const { assert!(align_of::<K>() == 8) };
    if i >= words::<K>() {
        return 0;
    }
    // SAFETY: inside the value, which has no padding, and aligned to 8.
    unsafe { (&raw const *value).cast::<u64>().add(i).read_volatile() }
}

/// # Safety
/// `to` must be valid for writes and aligned to 8.
#[inline(always)]
unsafe fn copy_wide<K: Key>(key: &K, to: *mut K) {
    const { assert!(size_of::<K>().is_multiple_of(4)) };
    let from = &raw const *key;
    let (from8, to8) = (from.cast::<u64>(), to.cast::<u64>());
    let words = size_of::<K>() / 8;
    let mut i = 0;
    // SAFETY: both sides are `size_of::<K>()` bytes, `to` is aligned to 8. The
    // stores are volatile so that the compiler does not write the fields of
    // `key` in place one by one.
    unsafe {
        while i < words {
            to8.add(i).write_volatile(from8.add(i).read_unaligned());
            i += 1;
        }
        if size_of::<K>() % 8 == 4 {
            to.cast::<u32>()
                .add(words * 2)
                .write_volatile(from.cast::<u32>().add(words * 2).read_unaligned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn keys_have_no_padding() {
        assert_eq!(size_of::<FrontendKey<Addr4>>(), 4 + 2 + 1 + 1);
        assert_eq!(size_of::<FrontendKey<Addr6>>(), 16 + 2 + 1 + 1);
        assert_eq!(size_of::<FlowKey<Addr4>>(), 4 + 4 + 2 + 2 + 1 + 1 + 2);
        assert_eq!(size_of::<FlowKey<Addr6>>(), 16 + 16 + 2 + 2 + 1 + 1 + 2);
        assert_eq!(size_of::<SocketKey<Addr4>>(), 8 + 4 + 2 + 1 + 1);
        assert_eq!(size_of::<SocketKey<Addr6>>(), 8 + 16 + 2 + 1 + 1);
    }

    #[test]
    fn a_wide_key_is_the_key() {
        let key = FrontendKey::new(Addr6([1, 2, 3, 4]), 5, Transport::Udp);
        assert_eq!(*Wide::new(key).get(), key);
    }
}
