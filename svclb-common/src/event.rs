//! Records of what happened to packets that were not simply translated: the flight recorder.
//!
//! There is a [`Log`] for each Service port and cause, of the last [`RING`] events each. So neither a flood of one kind nor
//! noise that is no Service's pushes out what was noted of another.

use crate::{service::ServiceId, sign::Cause};

/// The program that has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Program {
    /// At the ingress of a device, behind what the device's driver did.
    Ingress = 0,
    /// At the egress of a device.
    Egress = 1,
    /// At the ingress of a device, in front of the stack.
    Xdp = 2,
    /// At a socket call.
    Socket = 3,
}

impl Program {
    /// The program of that number.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Ingress, Self::Egress, Self::Xdp, Self::Socket]
            .into_iter()
            .find(|program| *program as u8 == number)
    }
}

/// A drop, a refusal, or a [`Sign`](crate::sign::Sign).
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
    /// Number of the [`Program`].
    pub program: u8,
    /// Zero.
    pub pad: u8,
    /// Number of the [`Cause`](crate::sign::Cause): a [`DropReason`](crate::verdict::DropReason) or a
    /// [`Sign`](crate::sign::Sign).
    pub reason: u32,
    /// Device; 0 at a socket.
    pub ifindex: u32,
    /// The service cell; 0 if it is about no Service.
    pub service: u32,
    /// The backend cell; 0 if none is known.
    pub backend: u32,
    /// What else there is to know: of `too_big` the bytes that the way carries, of `backend_switched` the backend cell
    /// before; else 0.
    pub detail: u32,
    /// Bytes of the packet from the link's header on; 0 at a socket.
    pub length: u32,
    /// [`AgentState::writes`](crate::state::AgentState::writes): which version of the tables decided.
    pub version: u64,
}

/// Bytes of a packet that a record keeps: headers of IPv6 in IPv6, and some payload.
pub const PACKET: usize = 128;

/// An event, and how its packet began.
///
/// It is written while it may be read: its number is first taken away at both ends, and written to both when all else is
/// there. Who copies it from its beginning to its end has a whole one if both agree.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Record {
    /// How many there were in its log with it; 0 while it is written.
    pub number: u64,
    /// What happened.
    pub event: Event,
    /// How its packet began.
    pub packet: [u8; PACKET],
    /// How many bytes of it there are.
    pub captured: u32,
    /// The low half of `number`.
    pub end: u32,
}

impl Record {
    /// Whether it is complete.
    pub fn is_whole(&self) -> bool {
        self.number != 0 && self.number as u32 == self.end
    }

    /// The bytes of its packet that are there.
    pub fn bytes(&self) -> &[u8] {
        self.packet.get(..self.captured as usize).unwrap_or(&self.packet)
    }
}

/// Events that a log keeps; also how many of them it takes in 64 jiffies. A power of two.
pub const RING: usize = 8;

/// Key of the logs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
pub struct LogKey {
    /// The service cell; 0 for what is about no Service.
    pub service: ServiceId,
    /// Number of the [`Cause`].
    pub cause: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
}

impl LogKey {
    /// The log that an event belongs to.
    #[inline(always)]
    pub fn of(event: &Event) -> Self {
        Self { service: event.service, cause: event.reason as u16, family: event.family.into() }
    }

    /// The cause, if it is one that this build knows.
    pub fn cause(&self) -> Option<Cause> {
        Cause::of(self.cause.into())
    }
}

/// The last events of one cause of a Service port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Log {
    /// How often it happened, whether noted or not.
    pub total: u64,
    /// How often it was noted.
    pub written: u64,
    /// 64 jiffies by their number, and in the lowest byte how many were noted in them.
    pub window: u64,
    /// The last ones, each at the place of its number before it was counted.
    pub records: [Record; RING],
}

impl Log {
    /// The event that is being told, where this is a draft.
    #[inline(always)]
    pub fn event(&mut self) -> &mut Event {
        &mut self.records[0].event
    }
}

/// What [`Log::window`] becomes when one more event is noted in the 64 jiffies of that number; `None` if enough are.
#[inline(always)]
pub fn admit(window: u64, now: u64) -> Option<u64> {
    let noted = if window >> 8 == now { window & 0xff } else { 0 };
    if noted >= RING as u64 { None } else { Some(now << 8 | (noted + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_no_padding() {
        assert_eq!(size_of::<Event>(), 8 + 2 * 16 + 4 + 4 + 6 * 4 + 8);
        assert_eq!(size_of::<Record>(), 8 + 80 + PACKET + 8);
        assert_eq!(size_of::<Log>(), 24 + RING * size_of::<Record>());
    }

    #[test]
    fn programs_have_numbers() {
        for number in 0..4 {
            assert_eq!(Program::of(number).map(|program| program as u8), Some(number));
        }
        assert_eq!(Program::of(4), None);
    }

    #[test]
    fn so_many_are_noted_in_a_while_and_no_more() {
        let mut window = 0;
        for now in [1, 2, 7] {
            let admitted = core::iter::from_fn(|| {
                window = admit(window, now)?;
                Some(window)
            });
            assert_eq!(admitted.count(), RING, "{now}");
        }
    }

    #[test]
    fn a_record_that_is_being_written_is_none() {
        let whole = Record { number: 1 << 32 | 5, end: 5, ..bytemuck::Zeroable::zeroed() };
        assert!(whole.is_whole());
        for torn in
            [Record { end: 0, ..whole }, Record { number: 0, ..whole }, Record { number: 13, ..whole }]
        {
            assert!(!torn.is_whole());
        }
    }
}
