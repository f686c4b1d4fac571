//! Map names, capacities, and the version of it all.

/// Version of the map layouts; part of the pins' path. It is another one in a release that changes a key, a value, a map's
/// kind or size, or the meaning of any of them; what changes between two releases is one change.
pub const LAYOUT_VERSION: u32 = 6;

/// Families that share a map: a program may use 64 maps at most (`MAX_USED_MAPS`).
pub const BOTH: usize = 2;

/// The row of a cell of the address family `af` (`AF_INET`, `AF_INET6`) in a map that both share.
#[inline(always)]
pub fn row_of(af: u8, cell: u32) -> u32 {
    const AF_INET: u8 = 2;
    cell.wrapping_mul(BOTH as u32) | u32::from(af != AF_INET)
}

/// Default capacities, per family. The agent may load other ones.
pub mod capacity {
    /// Frontends other than node ports.
    pub const FRONTENDS: usize = 131_072;
    /// Node ports: three protocols are reserved, 65,536 ports each.
    pub const NODE_PORTS: usize = 3 * 65_536;
    /// Addresses of the node.
    pub const LOCALS: usize = 4096;
    /// Devices that source translation may go out by.
    pub const SOURCES: usize = 1024;
    /// Service cells.
    pub const SERVICES: usize = 65_536;
    /// Backend slots: 8 MiB, which is room for 128 Maglev tables of the default size.
    pub const SLOTS: usize = 2_097_152;
    /// Backend cells.
    pub const BACKENDS: usize = 131_072;
    /// Flow entries, two a flow.
    pub const FLOWS: usize = 262_144;
    /// Flow entries of flows that are not established, two a flow.
    pub const HALF_OPEN: usize = 65_536;
    /// Translations at sockets, two a connection.
    pub const SOCKETS: usize = 131_072;
    /// Clients that come back to their backends.
    pub const AFFINITIES: usize = 65_536;
    /// Datagrams that come in fragments.
    pub const FRAGMENTS: usize = 8192;
    /// Source ranges of all services.
    pub const SOURCE_RANGES: usize = 65_536;
    /// Rules of who is a local pod: one for each device, and one for all others.
    pub const PODS: usize = SOURCES + 1;
    /// Searches for a source port that found none.
    pub const SEARCHES: usize = 1024;
    /// Devices that frames are redirected to.
    pub const XDP_UPLINKS: usize = 256;
    /// Node names.
    pub const NODES: usize = 16_384;
    /// Control groups of pods whose sockets are left alone.
    pub const OPT_OUTS: usize = 4096;
    /// Logs of the flight recorder: causes of Service ports.
    pub const RECORDER: usize = 2048;
    /// Devices and reasons that drops are counted by.
    pub const DEVICE_DROPS: usize = 4096;
    /// Bytes of the events ring; a power of two and a multiple of the page size.
    pub const EVENTS: usize = 256 * 1024;
}

/// Names of the maps that exist once per family, without their suffix.
pub mod map {
    /// Frontends: [`FrontendKey`](crate::key::FrontendKey) to [`Frontend`](crate::service::Frontend).
    pub const FRONTENDS: &str = "FRONTENDS";
    /// Node ports: [`node_port_index`](crate::service::node_port_index) to service cell number.
    pub const NODE_PORTS: &str = "NODE_PORTS";
    /// Addresses of the node, to [`LOCAL_ADDRESS`](crate::service::LOCAL_ADDRESS) and its like.
    pub const LOCALS: &str = "LOCALS";
    /// Device index to the address that the node uses on it.
    pub const SOURCES: &str = "SOURCES";
    /// [`ServiceCell`](crate::service::ServiceCell)s.
    pub const SERVICES: &str = "SERVICES";
    /// [`Slot`](crate::service::Slot)s.
    pub const SLOTS: &str = "SLOTS";
    /// [`BackendCell`](crate::service::BackendCell)s.
    pub const BACKENDS: &str = "BACKENDS";
    /// Established flows.
    pub const FLOWS: &str = "FLOWS";
    /// Flows that are not established.
    pub const HALF_OPEN: &str = "HALF_OPEN";
    /// Translations at sockets.
    pub const SOCKETS: &str = "SOCKETS";
    /// [`Traffic`](crate::service::Traffic) by service cell, per CPU.
    pub const TRAFFIC: &str = "TRAFFIC";
    /// Flows and connections that a backend cell has.
    pub const ACTIVE: &str = "ACTIVE";
    /// [`ServiceName`](crate::service::ServiceName) by service cell; the agent's own.
    pub const NAMES: &str = "NAMES";
    /// Clients that come back: [`AffinityKey`](crate::service::AffinityKey) to
    /// [`Affinity`](crate::service::Affinity).
    pub const AFFINITIES: &str = "AFFINITIES";
    /// Who may use load balancer addresses: longest prefix of
    /// [`RangeKey`](crate::service::RangeKey) to 1.
    pub const SOURCE_RANGES: &str = "SOURCE_RANGES";
    /// `ClusterIP`s, to 1.
    pub const CLUSTER_IPS: &str = "CLUSTER_IPS";
    /// Addresses of Services that are none of those: external ones and load balancers', to 1.
    pub const EXTERNAL_IPS: &str = "EXTERNAL_IPS";
    /// [`ServiceRanges`](crate::service::ServiceRanges).
    pub const RANGES: &str = "RANGES";
    /// Device index to the [`PodRange`](crate::client::PodRange) of the local pods behind it.
    pub const PODS: &str = "PODS";
    /// Searches for a source port that found none: [`PortsKey`](crate::snat::PortsKey) to
    /// [`PortsMemory`](crate::snat::PortsMemory).
    pub const SEARCHES: &str = "SEARCHES";
    /// Datagrams that come in fragments: [`FragmentKey`](crate::fragment::FragmentKey) to
    /// [`FragmentHead`](crate::fragment::FragmentHead).
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// Tuples that are nobody's: [`place`](crate::flow::stranger::place) to [`Stranger`](crate::flow::Stranger), per CPU.
    pub const STRANGERS: &str = "STRANGERS";
    /// Marks of tuples that may be in a flow table: lines of [`place`](crate::flow::filter::place)s.
    pub const FLOW_FILTER: &str = "FLOW_FILTER";
    /// Which of these marks count: [`EraWord`](crate::flow::filter::EraWord), once.
    pub const FLOW_ERAS: &str = "FLOW_ERAS";
    /// How many frontends each [`place`](crate::service::filter::place) has.
    pub const FRONTEND_FILTER: &str = "FRONTEND_FILTER";
    /// All of them.
    pub const PER_FAMILY: [&str; 25] = [
        FRONTENDS,
        NODE_PORTS,
        LOCALS,
        SOURCES,
        SERVICES,
        SLOTS,
        BACKENDS,
        FLOWS,
        HALF_OPEN,
        SOCKETS,
        TRAFFIC,
        ACTIVE,
        NAMES,
        AFFINITIES,
        SOURCE_RANGES,
        CLUSTER_IPS,
        EXTERNAL_IPS,
        RANGES,
        PODS,
        SEARCHES,
        FRAGMENTS,
        STRANGERS,
        FLOW_FILTER,
        FLOW_ERAS,
        FRONTEND_FILTER,
    ];

    /// Node names; the agent's own.
    pub const NODES: &str = "NODES";
    /// Packets by [`DropReason`](crate::verdict::DropReason), per CPU.
    pub const DROPS: &str = "DROPS";
    /// [`Event`](crate::event::Event)s.
    pub const EVENTS: &str = "EVENTS";
    /// [`AgentState`](crate::state::AgentState).
    pub const STATE: &str = "STATE";
    /// Control groups of pods whose sockets are left alone, to 1.
    pub const OPT_OUTS: &str = "OPT_OUTS";
    /// How often the node's routes and neighbours have changed: one word.
    pub const ROUTES: &str = "ROUTES";
    /// Whether a search for a source port has ever found none, by [`place`](crate::snat::PortsKey::place).
    pub const SEARCHED: &str = "SEARCHED";
    /// [`Settings`](crate::config::Settings) of the programs that run; the agent's own.
    pub const SETTINGS: &str = "SETTINGS";
    /// The flight recorder: [`LogKey`](crate::event::LogKey) to [`Log`](crate::event::Log).
    pub const RECORDER: &str = "RECORDER";
    /// Drops by [`DeviceReason`](crate::service::DeviceReason).
    pub const DEVICE_DROPS: &str = "DEVICE_DROPS";
    /// [`Load`](crate::service::Load) by backend cell of either family ([`row_of`](super::row_of)), per CPU.
    pub const LOADS: &str = "LOADS";
    /// [`Outcomes`](crate::service::Outcomes), likewise.
    pub const OUTCOMES: &str = "OUTCOMES";
    /// [`Entrance`](crate::service::Entrance) by service cell of either family.
    pub const ENTRANCES: &str = "ENTRANCES";
    /// Maps that exist once.
    pub const SHARED: [&str; 14] = [
        NODES,
        DROPS,
        EVENTS,
        STATE,
        OPT_OUTS,
        XDP_UPLINKS,
        ROUTES,
        SEARCHED,
        RECORDER,
        DEVICE_DROPS,
        LOADS,
        OUTCOMES,
        ENTRANCES,
        SETTINGS,
    ];
    /// Devices that XDP programs may redirect frames to, by their index.
    pub const XDP_UPLINKS: &str = "XDP_UPLINKS";
}
