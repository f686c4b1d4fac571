//! Headers as they lie in a frame, and the one place that turns bytes into them.
//!
//! Integers are in network byte order, exactly as received; nothing converts
//! them but the accessors that say so. Field names are the RFCs'.
#![expect(unsafe_code, reason = "the one place where bytes of a frame become headers")]

mod transport;

use core::marker::PhantomData;

pub use self::transport::{TcpFlags, Transport};

/// Plain header types: alignment 1, every bit pattern valid, no padding.
///
/// # Safety
/// Implement only for such types.
pub unsafe trait Wire: Sized {}

/// Walks a frame front to back and hands out disjoint headers.
///
/// The bounds are read once; a header that was handed out needs no check again.
pub struct Cursor<'f> {
    at: *mut u8,
    end: *mut u8,
    frame: PhantomData<&'f mut [u8]>,
}

impl<'f> Cursor<'f> {
    /// A cursor at the start of a frame.
    ///
    /// # Safety
    /// `start..end` must be one live frame that nothing else accesses during `'f`.
    #[inline(always)]
    pub unsafe fn new(start: *mut u8, end: *mut u8) -> Self {
        Self { at: start, end, frame: PhantomData }
    }

    /// The next header, or `None` when the frame ends before it does.
    #[inline(always)]
    pub fn take<T: Wire>(&mut self) -> Option<&'f mut T> {
        const { assert!(align_of::<T>() == 1) };
        let next = self.at.wrapping_add(size_of::<T>());
        if next > self.end {
            return None;
        }
        // SAFETY: in bounds by the check above; disjoint from every header handed
        // out before, because `at` only moves on.
        let header = unsafe { &mut *self.at.cast::<T>() };
        self.at = next;
        Some(header)
    }

    /// A copy of what lies `at` bytes ahead, or `None` when the frame ends before it does.
    #[inline(always)]
    pub fn peek<T: Wire + Copy>(&self, at: usize) -> Option<T> {
        const { assert!(align_of::<T>() == 1) };
        let start = self.at.wrapping_add(at);
        if start.wrapping_add(size_of::<T>()) > self.end || start < self.at {
            return None;
        }
        // SAFETY: in bounds by the check above; headers that were handed out are behind `at`.
        Some(unsafe { *start.cast::<T>() })
    }

    /// Leaves out `bytes` bytes, which need not be there.
    #[inline(always)]
    pub fn skip(&mut self, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
    }
}

impl<'f> From<&'f mut [u8]> for Cursor<'f> {
    fn from(frame: &'f mut [u8]) -> Self {
        let span = frame.as_mut_ptr_range();
        // SAFETY: the slice is exclusively borrowed for 'f.
        unsafe { Self::new(span.start, span.end) }
    }
}

/// A MAC address.
pub type Mac = [u8; 6];

/// Ethernet header, IEEE 802.3.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eth {
    /// Destination.
    pub dst: Mac,
    /// Source.
    pub src: Mac,
    /// `EtherType`, network byte order.
    pub ethertype: u16,
}

impl Eth {
    /// Both addresses, as they lie there.
    #[inline(always)]
    pub fn link(&self) -> [u32; 3] {
        bytemuck::cast([self.dst, self.src])
    }

    /// Replaces both addresses.
    #[inline(always)]
    pub fn set_link(&mut self, link: [u32; 3]) {
        [self.dst, self.src] = bytemuck::cast(link);
    }
}

/// IPv4 header without options, RFC 791.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Version (4 bits) and header length in words of 32 bits (4 bits).
    pub version_ihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Total length in bytes, network byte order.
    pub len: u16,
    /// Identification.
    pub id: u16,
    /// Flags (3 bits) and fragment offset (13 bits), network byte order.
    pub frag: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol.
    pub proto: u8,
    /// Header checksum.
    pub check: u16,
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
}

/// IPv6 header, RFC 8200.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Version (4 bits), traffic class (8), flow label (20), network byte order.
    pub version_flow: u32,
    /// Payload length in bytes, network byte order.
    pub len: u16,
    /// Next header.
    pub next: u8,
    /// Hop limit.
    pub hops: u8,
    /// Source address.
    pub src: [u32; 4],
    /// Destination address.
    pub dst: [u32; 4],
}

/// A checksum field, at any alignment.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check(pub u16);

/// What the headers of TCP, UDP and SCTP begin with.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port, network byte order.
    pub src: u16,
    /// Destination port, network byte order.
    pub dst: u16,
}

/// TCP header after its ports and without options, RFC 9293.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTail {
    /// Sequence number, network byte order.
    pub seq: u32,
    /// Acknowledgement number, network byte order.
    pub ack: u32,
    /// Data offset in words of 32 bits (upper 4 bits).
    pub offset: u8,
    /// Control bits: [`TcpFlags`].
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Checksum over pseudo-header, header and data.
    pub check: Check,
    /// Urgent pointer.
    pub urgent: u16,
}

/// UDP header after its ports, RFC 768.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpTail {
    /// Length of header and data in bytes, network byte order.
    pub len: u16,
    /// Checksum over pseudo-header, header and data; 0 over IPv4 means that there is none.
    pub check: Check,
}

/// SCTP common header after its ports, and the header of the first chunk, RFC 9260 sections 3.1
/// and 3.2. Every packet has a chunk.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpTail {
    /// Verification tag.
    pub tag: u32,
    /// `CRC32c` of the whole packet, little-endian; 0 where it is left to the device.
    pub crc: u32,
    /// Type of the first chunk.
    pub chunk: u8,
    /// Its flags.
    pub chunk_flags: u8,
    /// Its length in bytes, network byte order.
    pub chunk_len: u16,
}

/// The start of an IPv4 option, RFC 791; one of one byte has no length.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHead {
    /// Type.
    pub kind: u8,
    /// Length in bytes, with type and length.
    pub len: u8,
}

/// The start of an IPv6 extension header, RFC 8200 section 4; the whole of a fragment header.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionHead {
    /// Next header.
    pub next: u8,
    /// Length in units of 8 bytes without the first; reserved in a fragment header.
    pub len: u8,
    /// A fragment's offset (13 bits) and "more fragments" (the last bit), network byte order;
    /// type and segments left of a routing header.
    pub place: u16,
    /// A fragment's identification, network byte order.
    pub id: u32,
}

impl ExtensionHead {
    /// Whether a fragment header is that of any but the first fragment.
    #[inline(always)]
    pub fn is_later_fragment(&self) -> bool {
        self.place & 0xfff8_u16.to_be() != 0
    }
}

/// Four bytes of anything, to be summed.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u32);

/// As many bytes of anything as `N` words have.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<const N: usize>(pub [Word; N]);

// SAFETY: an array of a plain type.
unsafe impl<const N: usize> Wire for Words<N> {}

/// ICMP or `ICMPv6` error header, RFC 792 and RFC 4443.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub check: Check,
    /// Unused here, zero.
    pub rest: u32,
}

/// Declares packed structs of integers to be headers.
macro_rules! plain {
    ($($name:ty),+) => {
        $(
            const _: () = assert!(align_of::<$name>() == 1);
            // SAFETY: packed structs of integers: alignment 1, no padding, every bit pattern valid.
            unsafe impl Wire for $name {}
        )+
    };
}
plain!(Eth, Ipv4, Ipv6, Ports, TcpTail, UdpTail, SctpTail, IcmpError, Word, OptionHead, ExtensionHead);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_never_leaves_its_frame(mut frame in proptest::collection::vec(any::<u8>(), 0..80), skip in 0usize..100) {
            let len = frame.len();
            let mut cursor = Cursor::from(frame.as_mut_slice());
            let eth = cursor.take::<Eth>().is_some();
            prop_assert_eq!(eth, len >= 14);
            cursor.skip(skip);
            let ip = cursor.take::<Ipv4>().is_some();
            prop_assert_eq!(ip, eth && len >= 14 + skip + 20 || !eth && len >= skip + 20);
        }
    }

    #[test]
    fn headers_have_the_sizes_of_the_rfcs() {
        assert_eq!(
            [
                size_of::<Eth>(),
                size_of::<Ipv4>(),
                size_of::<Ipv6>(),
                size_of::<Ports>() + size_of::<TcpTail>(),
                size_of::<Ports>() + size_of::<UdpTail>(),
                size_of::<Ports>() + size_of::<SctpTail>(),
                size_of::<IcmpError>()
            ],
            [14, 20, 40, 20, 8, 16, 8]
        );
    }
}
