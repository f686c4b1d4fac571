//! Where a flow stands, as far as both directions' packets tell.
//!
//! The two entries hold a few bits each ([`SEEN`], [`SPOKE`], [`FIN`], [`RST`]); together they are the state. No
//! packet has to look at the other direction's entry for it, and nothing has to be repaired when one of them was lost.

use super::{FIN, RST, SEEN, SPOKE};

/// `IPPROTO_TCP` and `IPPROTO_UDP` (IANA).
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where a flow stands: the states of RFC 9293 as somebody between both ends sees them, and what there is to say of
/// protocols without a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FlowState {
    /// TCP: the client has spoken, the backend has not.
    SynSent = 0,
    /// TCP: the backend has answered, the client has sent nothing but its SYN.
    SynReceived = 1,
    /// TCP: both have spoken, and neither has finished.
    Established = 2,
    /// TCP: the client has finished, the backend has not. That may last: a long answer to a short question.
    FinWait = 3,
    /// TCP: the backend has finished, the client has not.
    CloseWait = 4,
    /// TCP: both have finished. Late segments still find their way, a new SYN begins anew.
    TimeWait = 5,
    /// TCP: a reset before the connection was established.
    Closed = 6,
    /// TCP: an established connection was reset, or somebody pretended to: nobody here checks sequence numbers, so
    /// whoever goes on revives it.
    Reset = 7,
    /// UDP: the backend has not answered.
    UdpNew = 8,
    /// UDP: both have spoken.
    UdpStream = 9,
    /// Another protocol, which is SCTP: the backend has not answered.
    SctpNew = 10,
    /// The same: both have spoken.
    SctpEstablished = 11,
    /// The same: it was shut down or aborted.
    SctpClosed = 12,
}

impl FlowState {
    /// How many there are.
    pub const COUNT: usize = 13;

    /// Each of them, by its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::TimeWait,
        Self::Closed,
        Self::Reset,
        Self::UdpNew,
        Self::UdpStream,
        Self::SctpNew,
        Self::SctpEstablished,
        Self::SctpClosed,
    ];

    /// Its name in reports and metrics, beside the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECEIVED",
            Self::Established | Self::UdpStream | Self::SctpEstablished => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed | Self::SctpClosed => "CLOSED",
            Self::Reset => "RESET",
            Self::UdpNew | Self::SctpNew => "NEW",
        }
    }

    /// The protocol that has this state.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::UdpNew | Self::UdpStream => "UDP",
            Self::SctpNew | Self::SctpEstablished | Self::SctpClosed => "SCTP",
            _ => "TCP",
        }
    }

    /// The state of a flow of `proto` (IANA) whose client and backend have sent this: the bits of its two entries.
    pub fn of(proto: u8, client: u32, backend: u32) -> Self {
        Self::ALL[number(proto, client, backend) as usize]
    }

    /// Whether it is over, as far as TCP is concerned: its tuple may begin another connection at once.
    pub fn has_ended(self) -> bool {
        has_ended(self as u32)
    }
}

/// The rule for TCP.
const fn of_tcp(client: u32, backend: u32) -> FlowState {
    let is_established = client & SPOKE != 0 && backend & SEEN != 0;
    if (client | backend) & RST != 0 {
        return if is_established { FlowState::Reset } else { FlowState::Closed };
    }
    match (client & FIN != 0, backend & FIN != 0) {
        (true, true) => FlowState::TimeWait,
        (false, true) => FlowState::CloseWait,
        (true, false) if backend & SEEN != 0 => FlowState::FinWait,
        _ if is_established => FlowState::Established,
        _ if backend & SEEN != 0 => FlowState::SynReceived,
        _ => FlowState::SynSent,
    }
}

/// The rule as two tables of 16 places of four bits, without a reset and with one: a kernel program that looks up
/// branches once, and the verifier need not follow the rule's every way through whatever comes behind.
const TCP_STATES: [u64; 2] = [table(0), table(RST)];

const fn table(reset: u32) -> u64 {
    let (mut table, mut place) = (0, 0_u32);
    while place < 16 {
        let client = ((place & 1) * FIN) | ((place >> 3) * SPOKE) | reset;
        let backend = (((place >> 1) & 1) * FIN) | (((place >> 2) & 1) * SEEN);
        table |= (of_tcp(client, backend) as u64) << (4 * place);
        place += 1;
    }
    table
}

/// The number of a flow's state, for who cannot afford an `enum`.
#[inline(always)]
pub fn number(proto: u8, client: u32, backend: u32) -> u32 {
    if proto == UDP {
        return FlowState::UdpNew as u32 + (backend & SEEN);
    }
    const { assert!(FIN == 2 && SEEN == 1 && SPOKE == 8) };
    let place = (client & FIN) >> 1 | backend & FIN | (backend & SEEN) << 2 | client & SPOKE;
    let table = if (client | backend) & RST == 0 { TCP_STATES[0] } else { TCP_STATES[1] };
    let number = (table >> (4 * place)) as u32 & 15;
    match proto {
        TCP => number,
        _ if has_ended(number) => FlowState::SctpClosed as u32,
        _ => FlowState::SctpNew as u32 + (backend & SEEN),
    }
}

/// States whose tuple may begin another flow at once.
const ENDED: u32 = 1 << FlowState::TimeWait as u32
    | 1 << FlowState::Closed as u32
    | 1 << FlowState::Reset as u32
    | 1 << FlowState::SctpClosed as u32;

/// [`FlowState::has_ended`] by [`number`].
#[inline(always)]
pub fn has_ended(number: u32) -> bool {
    ENDED >> number & 1 != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_places() {
        for (number, state) in FlowState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
    }

    /// Everything that both ends of a connection may have sent.
    #[test]
    fn states_of_tcp() {
        const SYN: u32 = SEEN;
        const ON: u32 = SEEN | SPOKE;
        const END: u32 = ON | FIN;
        let table = [
            (0, 0, FlowState::SynSent),
            (SYN, 0, FlowState::SynSent),
            (ON, 0, FlowState::SynSent),
            (END, 0, FlowState::SynSent),
            (SYN, SYN, FlowState::SynReceived),
            (SYN, ON, FlowState::SynReceived),
            (ON, SYN, FlowState::Established),
            (ON, ON, FlowState::Established),
            (END, ON, FlowState::FinWait),
            (ON, END, FlowState::CloseWait),
            (SYN, END, FlowState::CloseWait),
            (END, END, FlowState::TimeWait),
            (SYN, RST, FlowState::Closed),
            (SYN | RST, SYN, FlowState::Closed),
            (ON, SYN | RST, FlowState::Reset),
            (ON | RST, ON, FlowState::Reset),
            (END | RST, END, FlowState::Reset),
            (0, RST, FlowState::Closed),
        ];
        for (client, backend, state) in table {
            assert_eq!(FlowState::of(TCP, client, backend), state, "{client:#b} {backend:#b}");
        }
    }

    #[test]
    fn states_of_others() {
        for (proto, new, answered) in [
            (UDP, FlowState::UdpNew, FlowState::UdpStream),
            (132, FlowState::SctpNew, FlowState::SctpEstablished),
        ] {
            for client in [0, SEEN, SEEN | SPOKE] {
                assert_eq!(FlowState::of(proto, client, 0), new);
                assert_eq!(FlowState::of(proto, client, SEEN | SPOKE), answered);
            }
            assert!(!new.has_ended() && !answered.has_ended());
        }
    }

    proptest! {
        #[test]
        fn the_table_is_the_rule(client in 0_u32..16, backend in 0_u32..16) {
            // A FIN is a packet: whoever has sent it was seen.
            let backend = if backend & FIN != 0 { backend | SEEN } else { backend };
            prop_assert_eq!(FlowState::of(TCP, client, backend), of_tcp(client, backend));
        }
    }
}
