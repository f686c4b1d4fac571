//! Transport protocols, and what their packets do to a connection.

use super::{Ports, SctpTail, TcpTail, UdpTail};

/// TCP control bits, RFC 9293 section 3.1; of SCTP what [`SctpTail::flags`] makes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Acknowledgement field is significant.
    pub const ACK: u8 = 0x10;

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// A SYN that opens a connection, not the answer to one.
    #[inline(always)]
    pub fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN
    }

    /// A packet in the midst of a connection: it neither begins nor ends one, which would change what its tuple means.
    #[inline(always)]
    pub fn is_midway(self) -> bool {
        !self.any(Self::SYN | Self::FIN | Self::RST)
    }
}

/// Transport protocols by their IANA number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
    /// RFC 9260.
    Sctp = 132,
}

impl Transport {
    /// Each once.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol of that IANA number, if the datapath carries it.
    #[inline(always)]
    pub fn of(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The IANA number.
    #[inline(always)]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether its flows are connections: opened and ended by the ends, and never moved to
    /// another backend. Else each packet may be the first.
    #[inline(always)]
    pub fn connects(self) -> bool {
        self != Self::Udp
    }

    /// Bytes of header that the datapath reads.
    #[inline(always)]
    pub fn header_len(self) -> usize {
        size_of::<Ports>()
            + match self {
                Self::Tcp => size_of::<TcpTail>(),
                Self::Udp => size_of::<UdpTail>(),
                Self::Sctp => size_of::<SctpTail>(),
            }
    }

    /// Row of the `NodePort` table.
    #[inline(always)]
    pub fn index(self) -> u32 {
        match self {
            Self::Tcp => 0,
            Self::Udp => 1,
            Self::Sctp => 2,
        }
    }
}

impl SctpTail {
    /// What the first chunk does to the association, in TCP's words: `INIT` opens, `INIT ACK`
    /// answers, `ABORT` resets, and each end's part of the shutdown is its FIN.
    #[inline(always)]
    pub fn flags(&self) -> TcpFlags {
        const INIT: u8 = 1;
        const INIT_ACK: u8 = 2;
        const ABORT: u8 = 6;
        const SHUTDOWN: u8 = 7;
        const SHUTDOWN_ACK: u8 = 8;
        const SHUTDOWN_COMPLETE: u8 = 14;
        TcpFlags(match self.chunk {
            INIT => TcpFlags::SYN,
            INIT_ACK => TcpFlags::SYN | TcpFlags::ACK,
            ABORT => TcpFlags::RST,
            SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => TcpFlags::FIN | TcpFlags::ACK,
            _ => TcpFlags::ACK,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_or_ends_is_not_midway() {
        for flag in [TcpFlags::SYN, TcpFlags::FIN, TcpFlags::RST] {
            assert!(!TcpFlags(flag | TcpFlags::ACK).is_midway() && !TcpFlags(flag).is_midway());
        }
        assert!(TcpFlags(TcpFlags::ACK).is_midway() && TcpFlags::default().is_midway());
    }
}
