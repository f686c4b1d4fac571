//! What a program decided, and why it dropped.

/// Declares an enumeration whose values have a number, a label for metrics and events, and an explanation for people.
macro_rules! labelled {
    (
        $(#[$outer:meta])*
        pub enum $enum:ident {
            $($(#[$doc:meta])* $name:ident = $number:literal, $label:literal, $explanation:literal;)+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $enum {
            $($(#[$doc])* $name = $number,)+
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The label for metrics and events.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            /// What it means and where to look, in a line.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => $explanation,)+
                }
            }
        }
    };
}
pub(crate) use labelled;

labelled! {
    /// Why a packet was dropped or left alone against its sender's wish. The number is
    /// the row of the counters, the label is the metric's.
    pub enum DropReason {
        /// The frontend has no backend; the client was told so (reset, port unreachable or `ECONNREFUSED`).
        NoBackend = 0, "no_backend",
            "the Service has no endpoint that is ready, and the client was told so";
        /// A slot or a backend cell held nothing: the tables contradict themselves.
        BrokenTables = 1, "broken_tables",
            "the tables contradict themselves: restart the agent, and report it";
        /// No port was free for the source translation.
        PortsExhausted = 2, "ports_exhausted",
            "every source port towards this backend is taken; widen --snat-ports, or spread clients or backends";
        /// The flow tables took no new entry, or gave one away while a packet was translated.
        FlowTableFull = 3, "flow_table_full",
            "the flow tables took no new entry or made room with this one; raise maxFlows";
        /// The node has no route to the backend or to the client.
        NoRoute = 4, "no_route",
            "the node has no route to the backend or to the client by a device that carries the programs";
        /// The hop limit ran out.
        HopLimit = 5, "hop_limit",
            "the hop limit ran out here: the sender is told; look for a routing loop, or for traceroute";
        /// The packet is larger than the next link carries.
        TooBig = 6, "too_big",
            "the packet is larger than the way carries, and the sender is told by ICMP; if it goes on so, those errors are filtered";
        /// The packet could not be changed (out of memory, or a layout the helpers refuse).
        Unwritable = 7, "unwritable",
            "the packet could not be changed: the kernel is out of memory, or its layout is one that helpers refuse";
        /// An event did not fit into the ring: the record was lost, not a packet.
        EventLost = 8, "event_lost",
            "nobody read the events ring in time: a record was lost, not a packet";
        /// A reset, or an ICMP error, to a Service, about what no flow knows: nobody is to have it.
        StrayReset = 9, "stray_reset",
            "a reset or an ICMP error to a Service about a connection that nobody knows: it is for nobody";
        /// The policy is `Local`, and the endpoints are all on other nodes.
        NoLocalBackend = 10, "no_local_backend",
            "the Service's traffic policy is Local, and its endpoints are all on other nodes";
        /// The source is in none of the ranges that a load balancer's address is open to.
        SourceRange = 11, "source_range",
            "the client is in none of the Service's loadBalancerSourceRanges";
        /// A `ClusterIP` has no such port; the client was told so as by [`NoBackend`](Self::NoBackend).
        UnknownPort = 12, "unknown_port",
            "the ClusterIP has no such port, and the client was told so; compare the port with the Service's ports";
        /// The address is in a range of Services, and no Service has it.
        UnallocatedVip = 13, "unallocated_vip",
            "the address is in a range of Services, and no Service has it; a client goes on with one that is gone";
        /// A fragment to an address of a Service, of a datagram whose first fragment has not come by.
        UnknownFragment = 14, "unknown_fragment",
            "a fragment to a Service whose first fragment has not come by";
        /// Another node sent a packet for a backend that this node does not have.
        BadTunnel = 15, "bad_tunnel",
            "another node sent a packet for a backend that this node does not have";
        /// The Service takes no more new flows this second.
        RateLimited = 16, "rate_limited",
            "the Service takes no more new flows this second: its annotation says how many";
    }
}

impl DropReason {
    /// Whether a packet without a flow that is dropped for the reason of that number was sent to a Service.
    #[inline(always)]
    pub(crate) fn is_of_a_service(number: u32) -> bool {
        const NO: u32 = 1 << DropReason::UnknownPort as u32
            | 1 << DropReason::UnallocatedVip as u32
            | 1 << DropReason::UnknownFragment as u32;
        NO >> (number & 31) & 1 == 0
    }

    /// Whether a backend had been chosen for it.
    #[inline(always)]
    pub(crate) fn is_of_a_backend(number: u32) -> bool {
        const YES: u32 = 1 << DropReason::PortsExhausted as u32
            | 1 << DropReason::FlowTableFull as u32
            | 1 << DropReason::NoRoute as u32;
        YES >> (number & 31) & 1 != 0
    }

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
