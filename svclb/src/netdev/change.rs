//! One notification of the kernel, and what it does to the [`Network`].

use std::net::IpAddr;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::LinkMessage,
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
};

use super::{Link, Network};

/// What a notification says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A device is new or differs.
    Link(Link),
    /// A device is gone from this namespace.
    LinkGone(u32),
    /// A device has an address.
    Address(u32, IpAddr),
    /// A device no longer has an address.
    AddressGone(u32, IpAddr),
    /// A default route came or went. Which devices remain cannot be told from
    /// one message: a device may have several default routes.
    DefaultRoutes,
}

/// What a change asks of the one who applied it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// A device appeared: whoever attaches to it must not wait.
    pub(super) new_link: bool,
    /// The default routes must be listed again.
    pub(super) stale_routes: bool,
}

impl Change {
    /// What a kernel message says, if it is any of the agent's business.
    pub(super) fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        match message {
            RouteNetlinkMessage::NewLink(link) if is_device(link) => {
                Some(Self::Link(Link::from_message(link)))
            }
            RouteNetlinkMessage::DelLink(link) if is_device(link) => Some(Self::LinkGone(link.header.index)),
            RouteNetlinkMessage::NewAddress(address) => {
                local(address).map(|ip| Self::Address(address.header.index, ip))
            }
            RouteNetlinkMessage::DelAddress(address) => {
                local(address).map(|ip| Self::AddressGone(address.header.index, ip))
            }
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                is_default(route).then_some(Self::DefaultRoutes)
            }
            _ => None,
        }
    }
}

impl Network {
    /// Brings the network up to date with one change.
    pub(super) fn apply(&mut self, change: Change) -> Effect {
        let mut effect = Effect::default();
        match change {
            Change::Link(link) => {
                // The kernel drops the IPv4 routes of a device that goes down
                // without a word.
                effect.stale_routes = !link.up && self.default_routes.contains(&link.index);
                let index = link.index;
                effect.new_link = self.links.insert(index, link).is_none();
                if effect.new_link {
                    self.births.came(index);
                }
            }
            Change::LinkGone(index) => {
                self.links.remove(&index);
                self.births.went(index);
                self.addresses.retain(|(device, _)| *device != index);
                effect.stale_routes = self.default_routes.remove(&index);
            }
            Change::Address(index, ip) => {
                self.addresses.insert((index, ip));
            }
            Change::AddressGone(index, ip) => {
                self.addresses.remove(&(index, ip));
                // Routes that prefer this source address go with it, silently.
                effect.stale_routes = !self.default_routes.is_empty();
            }
            Change::DefaultRoutes => effect.stale_routes = true,
        }
        effect
    }
}

/// Whether a link message is about the device itself. A bridge announces its
/// ports in the same group under its own family, and there a "deleted link"
/// only left the bridge.
fn is_device(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

/// The node's own address in an address message. On a point-to-point device
/// `IFA_ADDRESS` is the peer's and `IFA_LOCAL` ours; IPv6 usually has only the
/// former.
pub(super) fn local(message: &AddressMessage) -> Option<IpAddr> {
    let attribute = |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    attribute(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None })
        .or_else(|| attribute(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None }))
}

fn is_default(message: &RouteMessage) -> bool {
    let table = message
        .attributes
        .iter()
        .find_map(|a| if let RouteAttribute::Table(table) = a { Some(*table) } else { None })
        .unwrap_or_else(|| message.header.table.into());
    message.header.destination_prefix_length == 0
        && message.header.kind == RouteType::Unicast
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
}

/// The devices a route leaves by, if it is a default route of the main table.
pub(super) fn default_devices(message: &RouteMessage) -> Vec<u32> {
    if !is_default(message) {
        return Vec::new();
    }
    message
        .attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => vec![*index],
            RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
            _ => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteNextHop;

    use super::*;
    use crate::netdev::LinkKind;

    fn link(index: u32, up: bool) -> Link {
        Link {
            index,
            name: format!("dev{index}"),
            kind: LinkKind::Physical,
            master: None,
            lower: None,
            up,
            ethernet: true,
            mtu: 1500,
            mac: None,
            xdp: None,
        }
    }

    fn link_message(family: AddressFamily) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 3;
        message.header.interface_family = family;
        message
    }

    fn default_route() -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.attributes.push(RouteAttribute::Oif(2));
        message
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_still_a_device() {
        let left = RouteNetlinkMessage::DelLink(link_message(AddressFamily::Bridge));
        assert_eq!(Change::from_message(&left), None);
        let gone = RouteNetlinkMessage::DelLink(link_message(AddressFamily::Unspec));
        assert_eq!(Change::from_message(&gone), Some(Change::LinkGone(3)));
    }

    #[test]
    fn the_local_address_goes_before_the_peers() {
        let (ours, peer): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut message = AddressMessage::default();
        message.attributes = vec![AddressAttribute::Address(peer), AddressAttribute::Local(ours)];
        assert_eq!(local(&message), Some(ours));
        message.attributes.pop();
        assert_eq!(local(&message), Some(peer));
    }

    #[test]
    fn default_routes_are_those_of_the_main_table() {
        let edit = |edit: fn(&mut RouteMessage)| {
            let mut message = default_route();
            edit(&mut message);
            default_devices(&message)
        };
        assert_eq!(edit(|_| {}), [2]);
        assert!(edit(|m| m.header.destination_prefix_length = 8).is_empty());
        assert!(edit(|m| m.header.kind = RouteType::Unreachable).is_empty());
        assert!(edit(|m| m.attributes.push(RouteAttribute::Table(1000))).is_empty());
        let two = edit(|m| {
            let hop = |index| {
                let mut hop = RouteNextHop::default();
                hop.interface_index = index;
                hop
            };
            m.attributes = vec![RouteAttribute::MultiPath(vec![hop(4), hop(5)])];
        });
        assert_eq!(two, [4, 5]);
    }

    #[test]
    fn only_a_link_never_seen_is_new() {
        let mut network = Network::default();
        assert!(network.apply(Change::Link(link(1, false))).new_link);
        assert!(!network.apply(Change::Link(link(1, true))).new_link);
    }

    #[test]
    fn a_gone_link_takes_everything_along() {
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        let mut network = Network::default();
        network.apply(Change::Link(link(1, true)));
        network.apply(Change::Address(1, ip));
        network.apply(Change::Address(2, ip));
        network.default_routes.insert(1);
        assert!(network.apply(Change::LinkGone(1)).stale_routes);
        let births = network.births.clone();
        let rest = Network { addresses: [(2, ip)].into(), births, ..Network::default() };
        assert_eq!(network, rest);
    }

    #[test]
    fn a_device_that_comes_in_place_of_another_is_another_one() {
        let mut network = Network { links: [(1, link(1, true))].into(), ..Network::default() };
        let before = network.clone();
        network.apply(Change::Link(link(1, true)));
        assert_eq!(network, before);
        network.apply(Change::LinkGone(1));
        network.apply(Change::Link(link(1, true)));
        assert_eq!(network.links, before.links);
        assert_ne!(network, before);
    }

    #[test]
    fn routes_are_stale_when_the_kernel_drops_them_silently() {
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let mut network = Network { default_routes: [1].into(), ..Network::default() };
        assert!(!network.apply(Change::Link(link(1, true))).stale_routes);
        assert!(network.apply(Change::Link(link(1, false))).stale_routes);
        assert!(!network.apply(Change::Link(link(2, false))).stale_routes);
        assert!(network.apply(Change::AddressGone(1, ip)).stale_routes);
        assert!(network.apply(Change::DefaultRoutes).stale_routes);
    }
}
