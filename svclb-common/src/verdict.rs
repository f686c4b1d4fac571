//! What a program decided, and why it dropped.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)+) => {
        /// Why a packet was dropped or left alone against its sender's wish. The number is
        /// the row of the counters, the label is the metric's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum DropReason {
            $($(#[$doc])* $name = $number,)+
        }

        impl DropReason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The label for metrics and events.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

reasons! {
    /// The frontend has no backend; the client was told so (reset, port unreachable or `ECONNREFUSED`).
    NoBackend = 0, "no_backend";
    /// A slot or a backend cell held nothing: the tables contradict themselves.
    BrokenTables = 1, "broken_tables";
    /// No port was free for the source translation.
    PortsExhausted = 2, "ports_exhausted";
    /// The flow tables took no new entry, or gave one away while a packet was translated.
    FlowTableFull = 3, "flow_table_full";
    /// The node has no route to the backend or to the client.
    NoRoute = 4, "no_route";
    /// The hop limit ran out.
    HopLimit = 5, "hop_limit";
    /// The packet is larger than the next link carries.
    TooBig = 6, "too_big";
    /// The packet could not be changed (out of memory, or a layout the helpers refuse).
    Unwritable = 7, "unwritable";
    /// An event did not fit into the ring: the record was lost, not a packet.
    EventLost = 8, "event_lost";
    /// A reset, or an ICMP error, to a Service, about what no flow knows: nobody is to have it.
    StrayReset = 9, "stray_reset";
    /// The policy is `Local`, and the endpoints are all on other nodes.
    NoLocalBackend = 10, "no_local_backend";
    /// The source is in none of the ranges that a load balancer's address is open to.
    SourceRange = 11, "source_range";
    /// A `ClusterIP` has no such port; the client was told so as by [`NoBackend`](Self::NoBackend).
    UnknownPort = 12, "unknown_port";
    /// The address is in a range of Services, and no Service has it.
    UnallocatedVip = 13, "unallocated_vip";
    /// A fragment to an address of a Service, of a datagram whose first fragment has not come by.
    UnknownFragment = 14, "unknown_fragment";
    /// Another node sent a packet for a backend that this node does not have.
    BadTunnel = 15, "bad_tunnel";
    /// The Service takes no more new flows this second.
    RateLimited = 16, "rate_limited";
}

impl DropReason {
    /// The reason of that number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as u32 == number)
    }
}

/// Rows of the counters.
pub const DROP_REASONS: u32 = DropReason::ALL.len() as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_rows() {
        for (row, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, row);
            assert_eq!(DropReason::of(row as u32), Some(*reason));
        }
        assert_eq!(DropReason::of(DROP_REASONS), None);
    }
}
