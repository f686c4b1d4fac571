//! What the agent tells the programs at load time, as one read-only global.

/// Which processes are translated at their socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SocketMode {
    /// None: the socket programs are not attached, packets of host processes are
    /// translated on their way out.
    Off = 0,
    /// Processes in the agent's own network namespace.
    Host = 1,
    /// Every process below the cgroup.
    All = 2,
}

impl SocketMode {
    /// Each mode once.
    pub const EACH: [Self; 3] = [Self::Off, Self::Host, Self::All];
}

/// Settings of the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct DatapathConfig {
    /// `SO_NETNS_COOKIE` of the agent's network namespace: "the host".
    pub host_netns: u64,
    /// [`SocketMode`].
    pub socket_mode: u32,
    /// Lowest port for source translation, host byte order.
    pub snat_port_min: u16,
    /// Highest port for source translation, host byte order; not below the lowest.
    pub snat_port_max: u16,
}

/// Ports for source translation unless configured: below both the `NodePort` range
/// (30000 to 32767) and Linux's ephemeral range (32768 to 60999), so that a
/// translated connection is never confused with one of the node's own.
pub const SNAT_PORTS: (u16, u16) = (1024, 29_999);

impl DatapathConfig {
    /// For tests and measurements: everything translated per packet.
    pub const PER_PACKET: Self = Self {
        host_netns: 0,
        socket_mode: SocketMode::Off as u32,
        snat_port_min: SNAT_PORTS.0,
        snat_port_max: SNAT_PORTS.1,
    };

    /// Whether packets of host processes are translated on their way out.
    #[inline(always)]
    pub fn translates_host_packets(&self) -> bool {
        self.socket_mode == SocketMode::Off as u32
    }
}
