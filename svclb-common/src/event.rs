//! Records of the events ring: what happened to a packet that was not simply translated.

/// A refusal or a drop.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Event {
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    pub time: u64,
    /// Source address, network byte order; IPv4 in the first four bytes.
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// Source port, network byte order.
    pub sport: u16,
    /// Destination port, network byte order.
    pub dport: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// IANA protocol number.
    pub proto: u8,
    /// Zero.
    pub pad: u16,
    /// [`DropReason`](crate::verdict::DropReason).
    pub reason: u32,
    /// Device; 0 at a socket.
    pub ifindex: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_no_padding() {
        assert_eq!(size_of::<Event>(), 8 + 16 + 16 + 4 + 4 + 8);
    }
}
