//! One network device.

use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
};

/// A network device, as far as the agent cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The interface index.
    pub index: u32,
    /// The name, which may change while the index stays.
    pub name: String,
    /// What made the device.
    pub kind: LinkKind,
    /// The device that it is a port of: a bridge, for example.
    pub master: Option<u32>,
    /// The device that it is on: a VLAN's, for example.
    pub lower: Option<u32>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether its packets start with an Ethernet header.
    pub ethernet: bool,
    /// The largest packet without the link's header.
    pub mtu: u32,
    /// The hardware address, where it has the length of Ethernet's.
    pub mac: Option<[u8; 6]>,
    /// The number of its XDP program.
    pub xdp: Option<u32>,
}

/// What made a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// One end of a netkit pair.
    Netkit,
    /// A software bridge.
    Bridge,
    /// `lo`.
    Loopback,
    /// A tunnel, with the kernel's name for its kind (`vxlan`, `wireguard`).
    Tunnel(String),
    /// A network card, or what a hypervisor presents as one.
    Physical,
    /// Another virtual device, with the kernel's name for its kind (`bond`).
    Other(String),
}

impl Link {
    /// The link a kernel message describes.
    pub(super) fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: LinkKind::Physical,
            master: None,
            lower: None,
            up: message.header.flags.contains(LinkFlags::Up),
            ethernet: matches!(
                message.header.link_layer_type,
                LinkLayerType::Ether | LinkLayerType::Loopback
            ),
            mtu: 0,
            mac: None,
            xdp: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Controller(index) => link.master = Some(*index).filter(|index| *index != 0),
                LinkAttribute::Link(index) => link.lower = Some(*index),
                LinkAttribute::Xdp(xdp) => link.xdp = xdp.iter().find_map(program),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(address) => link.mac = address.as_slice().try_into().ok(),
                LinkAttribute::LinkInfo(infos) => {
                    if let Some(kind) = infos.iter().find_map(LinkKind::from_info) {
                        link.kind = kind;
                    }
                }
                _ => {}
            }
        }
        if message.header.link_layer_type == LinkLayerType::Loopback {
            link.kind = LinkKind::Loopback;
        }
        link
    }
}

fn program(xdp: &LinkXdp) -> Option<u32> {
    match xdp {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
            Some(*id)
        }
        _ => None,
    }
}

impl LinkKind {
    fn from_info(info: &LinkInfo) -> Option<Self> {
        let LinkInfo::Kind(kind) = info else { return None };
        Some(match kind {
            InfoKind::Veth => Self::Veth,
            InfoKind::Netkit => Self::Netkit,
            InfoKind::Bridge => Self::Bridge,
            InfoKind::Vxlan
            | InfoKind::Geneve
            | InfoKind::GreTun
            | InfoKind::GreTun6
            | InfoKind::GreTap
            | InfoKind::GreTap6
            | InfoKind::ErSpan
            | InfoKind::Ip6ErSpan
            | InfoKind::IpIp
            | InfoKind::SitTun
            | InfoKind::Ip6Tnl
            | InfoKind::Vti
            | InfoKind::Vti6
            | InfoKind::Xfrm
            | InfoKind::BareUdp
            | InfoKind::Wireguard => Self::Tunnel(kind.to_string()),
            other => Self::Other(other.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::XdpAttached;

    use super::*;

    fn message(layer: LinkLayerType, kind: Option<InfoKind>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = layer;
        message.header.flags = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName("dev".into()),
            LinkAttribute::Mtu(1450),
            LinkAttribute::Controller(3),
            LinkAttribute::Link(9),
            LinkAttribute::Xdp(vec![LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(17)]),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        ];
        if let Some(kind) = kind {
            message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        }
        message
    }

    #[test]
    fn every_field_is_read() {
        let link = Link::from_message(&message(LinkLayerType::Ether, Some(InfoKind::Veth)));
        let expected = Link {
            index: 7,
            name: "dev".into(),
            kind: LinkKind::Veth,
            master: Some(3),
            lower: Some(9),
            up: true,
            ethernet: true,
            mtu: 1450,
            mac: Some([2, 0, 0, 0, 0, 1]),
            xdp: Some(17),
        };
        assert_eq!(link, expected);
    }

    #[test]
    fn kinds_and_headers() {
        let cases = [
            (LinkLayerType::Ether, None, LinkKind::Physical, true),
            (LinkLayerType::Loopback, None, LinkKind::Loopback, true),
            (LinkLayerType::Ether, Some(InfoKind::Netkit), LinkKind::Netkit, true),
            (LinkLayerType::Ether, Some(InfoKind::Bridge), LinkKind::Bridge, true),
            (LinkLayerType::Ether, Some(InfoKind::Vxlan), LinkKind::Tunnel("vxlan".into()), true),
            (LinkLayerType::None, Some(InfoKind::Wireguard), LinkKind::Tunnel("wireguard".into()), false),
            (LinkLayerType::Tunnel, Some(InfoKind::IpIp), LinkKind::Tunnel("ipip".into()), false),
            (LinkLayerType::Ether, Some(InfoKind::Bond), LinkKind::Other("bond".into()), true),
            (LinkLayerType::Ether, Some(InfoKind::Other("new".into())), LinkKind::Other("new".into()), true),
        ];
        for (layer, info, kind, ethernet) in cases {
            let link = Link::from_message(&message(layer, info.clone()));
            assert_eq!((link.kind, link.ethernet), (kind, ethernet), "{layer:?} {info:?}");
        }
    }

    #[test]
    fn a_hardware_address_of_another_length_is_none() {
        let mut message = message(LinkLayerType::Tunnel, Some(InfoKind::IpIp));
        message.attributes.push(LinkAttribute::Address(vec![192, 0, 2, 1]));
        assert_eq!(Link::from_message(&message).mac, None);
    }
}
