//! What the agent tells the programs at load time, as one read-only global.

use crate::flow::Timeouts;

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

/// Setting: every flow to a `ClusterIP` gets the node's address as its source, also a pod's.
pub const MASQUERADE_ALL: u32 = 1;
/// Setting: node ports answer on 127.0.0.0/8, to processes of the node.
pub const NODE_PORT_LOOPBACK_V4: u32 = 2;
/// Setting: node ports answer on `::1`, to processes of the node.
pub const NODE_PORT_LOOPBACK_V6: u32 = 4;
/// Setting: clients get the node's address as their source wherever kube-proxy gives it to them, also
/// where their own is safe.
pub const MASQUERADE_COMPAT: u32 = 8;
/// Setting: the kernel has the helper `bpf_loop` (Linux 5.17).
pub const BPF_LOOP: u32 = 1 << 12;

/// Setting: `ClusterIP`s answer to ICMP echo.
pub const VIP_ECHO: u32 = 16;
/// Setting: direct server return of TCP: a backend on another node answers outside clients itself.
pub const DSR_TCP: u32 = 32;
/// Setting: the same of UDP, and of all other protocols.
pub const DSR_UDP: u32 = 64;
/// Setting: packets travel to another node's backend in UDP, not in IP alone.
pub const DSR_GUE: u32 = 128;

/// Setting: flows move between the usual tables and those beside them: programs know both.
pub const MOVES: u32 = 256;

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
    /// [`MASQUERADE_ALL`] and its like.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// For how long flows are remembered.
    pub timeouts: Timeouts,
}

/// How much room [`Settings`] have, so that new ones change no map.
const ROOM: usize = 256;

/// The settings of the programs that run, for whoever is to run others like them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Settings {
    /// A hash of the bytecode that has them.
    pub build: u64,
    /// Bytes of a [`DatapathConfig`] in that build.
    pub len: u64,
    /// It.
    bytes: [u64; ROOM / size_of::<u64>()],
}

impl Settings {
    /// Those of programs of that build.
    pub fn new(build: u64, config: &DatapathConfig) -> Self {
        const { assert!(size_of::<DatapathConfig>() <= ROOM) };
        let mut settings = Self { build, len: size_of::<DatapathConfig>() as u64, bytes: [0; _] };
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut settings.bytes);
        bytes.iter_mut().zip(bytemuck::bytes_of(config)).for_each(|(to, from)| *to = *from);
        settings
    }

    /// Them, if programs of `build` have written them.
    pub fn config(&self, build: u64) -> Option<DatapathConfig> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.bytes);
        let is_own = self.build == build && self.len == size_of::<DatapathConfig>() as u64;
        is_own.then(|| bytemuck::pod_read_unaligned(&bytes[..size_of::<DatapathConfig>()]))
    }
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
        flags: NODE_PORT_LOOPBACK_V4 | NODE_PORT_LOOPBACK_V6 | BPF_LOOP,
        reserved: 0,
        timeouts: Timeouts::DEFAULT,
    };

    /// Settings that together reach every instruction of the programs: the verifier takes
    /// settings for constants, and does not look at what they rule out. Each mode and each
    /// flag is there with and without; all combinations would take minutes.
    pub fn each() -> impl Iterator<Item = Self> {
        let of = |mode, flags| Self { socket_mode: mode as u32, flags, ..Self::PER_PACKET };
        let plain = Self::PER_PACKET.flags;
        let full = plain | MASQUERADE_ALL | VIP_ECHO | DSR_TCP | DSR_UDP;
        [
            of(SocketMode::Off, full),
            of(SocketMode::Off, full & !BPF_LOOP | MASQUERADE_COMPAT | DSR_GUE | MOVES),
            of(SocketMode::Host, full | DSR_GUE),
            of(SocketMode::All, plain),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_for_their_build_alone() {
        let config = DatapathConfig { snat_port_min: 7, ..DatapathConfig::PER_PACKET };
        let settings = Settings::new(5, &config);
        assert_eq!(settings.config(5), Some(config));
        assert_eq!(settings.config(6), None);
        assert_eq!(Settings { len: 8, ..settings }.config(5), None);
    }

    #[test]
    fn the_settings_have_no_padding() {
        assert_eq!(size_of::<DatapathConfig>(), 8 + 4 + 2 + 2 + 4 + 4 + size_of::<Timeouts>());
    }
}
