//! The proof, for aya, that shared types are plain bytes; and conversions to std's addresses.
#![expect(unsafe_code, reason = "aya::Pod is an unsafe marker")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    client::PodRange,
    config::DatapathConfig,
    event::{Event, Log, LogKey, Record},
    family::{Addr4, Addr6, Address},
    flow::FlowRecord,
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, FrontendKey, SocketKey},
    service::{
        Affinity, AffinityKey, DeviceReason, Entrance, Frontend, Load, NodeName, Outcomes, RangeKey,
        ServiceName, Traffic,
    },
    snat::{PortsKey, PortsMemory},
};

// SAFETY: `bytemuck::Pod` is derived: no padding, every bit pattern valid.
unsafe impl aya::Pod for Addr4 {}
// SAFETY: as above.
unsafe impl aya::Pod for Addr6 {}
// SAFETY: as above.
unsafe impl aya::Pod for DatapathConfig {}
// SAFETY: whole words.
unsafe impl aya::Pod for crate::config::Settings {}
// SAFETY: as above.
unsafe impl aya::Pod for Event {}
// SAFETY: as above.
unsafe impl aya::Pod for Record {}
// SAFETY: as above.
unsafe impl aya::Pod for Log {}
// SAFETY: as above.
unsafe impl aya::Pod for LogKey {}
// SAFETY: as above.
unsafe impl aya::Pod for Load {}
// SAFETY: as above.
unsafe impl aya::Pod for Outcomes {}
// SAFETY: as above.
unsafe impl aya::Pod for Entrance {}
// SAFETY: as above.
unsafe impl aya::Pod for DeviceReason {}
// SAFETY: as above.
unsafe impl aya::Pod for Frontend {}
// SAFETY: as above.
unsafe impl aya::Pod for ServiceName {}
// SAFETY: as above.
unsafe impl aya::Pod for NodeName {}
// SAFETY: as above.
unsafe impl aya::Pod for Traffic {}
// SAFETY: integers and addresses without padding: `key::tests` asserts the sizes.
unsafe impl<A: Address> aya::Pod for FrontendKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> aya::Pod for FlowKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> aya::Pod for SocketKey<A> {}
// SAFETY: as above, asserted in `service::tests`.
unsafe impl<A: Address> aya::Pod for AffinityKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> aya::Pod for RangeKey<A> {}
// SAFETY: as above, asserted in `fragment::tests`.
unsafe impl<A: Address> aya::Pod for FragmentKey<A> {}
// SAFETY: as above.
unsafe impl aya::Pod for FragmentHead {}
// SAFETY: `bytemuck::Pod` is derived.
unsafe impl aya::Pod for Affinity {}
// SAFETY: as above.
unsafe impl aya::Pod for PortsMemory {}
// SAFETY: as above, asserted in `snat::tests`.
unsafe impl<A: Address> aya::Pod for PortsKey<A> {}
// SAFETY: as above, asserted in `client::tests`.
unsafe impl<A: Address> aya::Pod for PodRange<A> {}
// SAFETY: as above, asserted in `socket::tests`.
unsafe impl<A: Address> aya::Pod for crate::socket::SocketPeer<A> {}
// SAFETY: as above; FlowRecord ends in explicit words.
unsafe impl<A: Address> aya::Pod for FlowRecord<A> {}

const _: () = assert!(size_of::<FlowRecord<Addr4>>() == size_of::<crate::flow::FlowEntry<Addr4>>());
const _: () = assert!(size_of::<FlowRecord<Addr6>>() == size_of::<crate::flow::FlowEntry<Addr6>>());

impl From<Ipv4Addr> for Addr4 {
    fn from(addr: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(addr.octets()))
    }
}

impl From<Addr4> for IpAddr {
    fn from(addr: Addr4) -> Self {
        Self::V4(Ipv4Addr::from(addr.0.to_ne_bytes()))
    }
}

impl From<Ipv6Addr> for Addr6 {
    fn from(addr: Ipv6Addr) -> Self {
        Self(bytemuck::cast(addr.octets()))
    }
}

impl From<Addr6> for IpAddr {
    fn from(addr: Addr6) -> Self {
        Self::V6(Ipv6Addr::from(bytemuck::cast::<_, [u8; 16]>(addr.0)))
    }
}
