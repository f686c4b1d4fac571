//! Headers as they lie in a frame, and both address families.
//!
//! All of it is of its own, and nothing of svclb's: a yardstick must not change with what it measures.

use core::arch::asm;

use aya_ebpf::{
    bindings::bpf_fib_lookup as FibParams,
    programs::{TcContext, XdpContext},
};

/// TCP's protocol number.
pub(crate) const TCP: u8 = 6;

/// The kernel's bounds of a frame.
pub(crate) struct Bounds {
    pub(crate) start: *mut u8,
    pub(crate) end: *mut u8,
}

impl Bounds {
    #[inline(always)]
    pub(crate) fn of_xdp(ctx: &XdpContext) -> Self {
        // SAFETY: the context lives as long as the program runs. Volatile, so that the bounds are read anew after the
        // frame has moved.
        unsafe {
            let start = (&raw const (*ctx.ctx).data).read_volatile();
            let end = (&raw const (*ctx.ctx).data_end).read_volatile();
            Self { start: start as usize as *mut u8, end: end as usize as *mut u8 }
        }
    }

    #[inline(always)]
    pub(crate) fn of_tc(ctx: &TcContext) -> Self {
        Self { start: ctx.data() as *mut u8, end: ctx.data_end() as *mut u8 }
    }

    /// Bytes at hand. The difference is hidden from the compiler, which would add to a pointer instead what is
    /// subtracted from it, and the verifier refuses that.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        let mut len = (self.end as u64).wrapping_sub(self.start as u64);
        // SAFETY: an instruction that changes nothing; none at all would confuse the line numbers.
        unsafe { asm!("{len} += 0", len = inout(reg) len) };
        len
    }

    /// What lies `at` bytes behind the start, if all of it is there.
    #[inline(always)]
    pub(crate) fn header<T>(&self, at: usize) -> Option<*mut T> {
        let start = self.start.wrapping_add(at);
        (start.wrapping_add(size_of::<T>()) <= self.end).then_some(start.cast())
    }
}

/// Ethernet header.
#[repr(C, packed)]
pub(crate) struct Eth {
    pub(crate) dst: [u16; 3],
    pub(crate) src: [u16; 3],
    pub(crate) kind: u16,
}

/// IPv4 header without options.
#[repr(C, packed)]
pub(crate) struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    len: u16,
    id: u16,
    frag: u16,
    ttl: u8,
    proto: u8,
    check: u16,
    src: u32,
    dst: u32,
}

/// IPv6 header.
#[repr(C, packed)]
pub(crate) struct Ipv6 {
    version_flow: u32,
    len: u16,
    next: u8,
    hops: u8,
    src: [u64; 2],
    dst: [u64; 2],
}

/// TCP header without options.
#[repr(C, packed)]
pub(crate) struct Tcp {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    seq: u32,
    ack: u32,
    offset_flags: u16,
    window: u16,
    pub(crate) check: u16,
    urgent: u16,
}

/// A folded or unfolded sum of 16-bit words in ones' complement.
pub(crate) type Sum = u64;

/// Folds to 16 bits.
#[inline(always)]
pub(crate) fn fold(sum: Sum) -> u16 {
    let mut sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// An address family. Keys are words of eight bytes, because the kernel compares them by such.
pub(crate) trait Family {
    /// `EtherType`, network byte order.
    const ETHERTYPE: u16;
    /// Whether it is IPv4.
    const IS_V4: bool;
    /// Bytes of Ethernet's, the family's and TCP's header.
    const HEADERS: usize;
    type Addr: Copy;
    type Header;
    /// Address, port, protocol, and a word for what a frontend is.
    type Service: Copy;
    /// Both addresses, both ports, protocol.
    type Flow: Copy;

    /// Bytes of the header, if it is whole and TCP's follows.
    fn tcp_after(ip: &Self::Header) -> Option<usize>;
    fn service(ip: &Self::Header, port: u16) -> Self::Service;
    fn flow(ip: &Self::Header, ports: u32) -> Self::Flow;
    /// The key of the opposite direction, once the destination is `dst`.
    fn answer(ip: &Self::Header, dst: Self::Addr, ports: u32) -> Self::Flow;
    /// Replaces the destination; the sum of the change.
    fn set_dst(ip: &mut Self::Header, dst: Self::Addr) -> Sum;
    /// Puts addresses into the arguments of `bpf_fib_lookup`.
    fn ask(params: &mut FibParams, ip: &Self::Header, dst: Self::Addr);
}

pub(crate) enum V4 {}
pub(crate) enum V6 {}

impl Family for V4 {
    const ETHERTYPE: u16 = 0x0800_u16.to_be();
    const IS_V4: bool = true;
    const HEADERS: usize = 54;
    type Addr = u32;
    type Header = Ipv4;
    type Service = [u32; 3];
    type Flow = [u64; 2];

    #[inline(always)]
    fn tcp_after(ip: &Ipv4) -> Option<usize> {
        let is_plain = ip.version_ihl >> 4 == 4 && ip.proto == TCP && ip.frag & 0x3fff_u16.to_be() == 0;
        is_plain.then_some(usize::from(ip.version_ihl & 15) * 4)
    }

    #[inline(always)]
    fn service(ip: &Ipv4, port: u16) -> [u32; 3] {
        [ip.dst, u32::from(port) | u32::from(TCP) << 16, 0]
    }

    #[inline(always)]
    fn flow(ip: &Ipv4, ports: u32) -> [u64; 2] {
        [u64::from(ip.src) | u64::from(ip.dst) << 32, u64::from(ports) | u64::from(TCP) << 32]
    }

    #[inline(always)]
    fn answer(ip: &Ipv4, dst: u32, ports: u32) -> [u64; 2] {
        [u64::from(dst) | u64::from(ip.src) << 32, u64::from(ports) | u64::from(TCP) << 32]
    }

    #[inline(always)]
    fn set_dst(ip: &mut Ipv4, dst: u32) -> Sum {
        let change = u64::from(!ip.dst) + u64::from(dst);
        ip.check = !fold(u64::from(!ip.check) + change);
        ip.dst = dst;
        change
    }

    #[inline(always)]
    fn ask(params: &mut FibParams, ip: &Ipv4, dst: u32) {
        params.family = 2;
        params.__bindgen_anon_3.ipv4_src = ip.src;
        params.__bindgen_anon_4.ipv4_dst = dst;
    }
}

impl Family for V6 {
    const ETHERTYPE: u16 = 0x86dd_u16.to_be();
    const IS_V4: bool = false;
    const HEADERS: usize = 74;
    type Addr = [u64; 2];
    type Header = Ipv6;
    type Service = [u64; 3];
    type Flow = [u64; 5];

    #[inline(always)]
    fn tcp_after(ip: &Ipv6) -> Option<usize> {
        (ip.version_flow as u8 >> 4 == 6 && ip.next == TCP).then_some(size_of::<Ipv6>())
    }

    #[inline(always)]
    fn service(ip: &Ipv6, port: u16) -> [u64; 3] {
        let [first, second] = ip.dst;
        [first, second, u64::from(port) | u64::from(TCP) << 16]
    }

    #[inline(always)]
    fn flow(ip: &Ipv6, ports: u32) -> [u64; 5] {
        let ([a, b], [c, d]) = (ip.src, ip.dst);
        [a, b, c, d, u64::from(ports) | u64::from(TCP) << 32]
    }

    #[inline(always)]
    fn answer(ip: &Ipv6, dst: [u64; 2], ports: u32) -> [u64; 5] {
        let ([a, b], [c, d]) = (dst, ip.src);
        [a, b, c, d, u64::from(ports) | u64::from(TCP) << 32]
    }

    #[inline(always)]
    fn set_dst(ip: &mut Ipv6, dst: [u64; 2]) -> Sum {
        let halves = |word: u64| (word & 0xffff_ffff) + (word >> 32);
        let ([a, b], [c, d]) = (ip.dst, dst);
        ip.dst = dst;
        halves(!a) + halves(!b) + halves(c) + halves(d)
    }

    #[inline(always)]
    fn ask(params: &mut FibParams, ip: &Ipv6, dst: [u64; 2]) {
        let quarters = |[a, b]: [u64; 2]| [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32];
        params.family = 10;
        params.__bindgen_anon_3.ipv6_src = quarters(ip.src);
        params.__bindgen_anon_4.ipv6_dst = quarters(dst);
    }
}
