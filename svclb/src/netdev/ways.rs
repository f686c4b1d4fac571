//! Hearing of changes to the ways that packets take: routes, rules, next hops, neighbours, devices.

use std::{collections::HashMap, net::IpAddr};

use futures::{StreamExt, channel::mpsc::UnboundedReceiver};
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use rtnetlink::{
    MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::{AsyncSocket, SocketAddr},
};
use tokio::task::JoinSet;

use super::Error;

/// Room for the notifications of a node whose neighbours all change at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// What tells of the changes, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Ways {
    notifications: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    neighbours: Neighbours,
    /// Aborted when this is dropped, which closes the socket.
    _connection: JoinSet<()>,
}

impl Ways {
    /// Subscribes.
    pub fn open() -> Result<Self, Error> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv6Rule,
            MulticastGroup::Nexthop,
        ];
        let (mut connection, _, notifications) = new_multicast_connection(&groups).map_err(Error::Open)?;
        connection.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER).map_err(Error::Open)?;
        let mut task = JoinSet::new();
        task.spawn(connection);
        Ok(Self { notifications, neighbours: Neighbours::default(), _connection: task })
    }

    /// Waits for a change. Notifications that were lost count as one.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let (message, _) = self.notifications.next().await.ok_or(Error::Closed)?;
            let is_change = match message.payload {
                NetlinkPayload::InnerMessage(message) => self.neighbours.is_change(&message),
                NetlinkPayload::Overrun(_) => {
                    // What was lost may have been about any of them.
                    self.neighbours = Neighbours::default();
                    true
                }
                _ => false,
            };
            if is_change {
                return Ok(());
            }
        }
    }
}

/// What is known of neighbours: the kernel tells of each step of its doubts about them, most of which end where they
/// began.
#[derive(Debug, Default)]
struct Neighbours(HashMap<(u32, Option<IpAddr>), Option<Vec<u8>>>);

impl Neighbours {
    /// Whether packets may take another way after this.
    fn is_change(&mut self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => {
                let (key, link) = key_and_link(neighbour);
                self.0.insert(key, link.clone()) != Some(link)
            }
            RouteNetlinkMessage::DelNeighbour(neighbour) => {
                self.0.remove(&key_and_link(neighbour).0);
                true
            }
            _ => true,
        }
    }
}

/// Whom a message is about, and the link address that packets are sent to, if they are.
fn key_and_link(message: &NeighbourMessage) -> ((u32, Option<IpAddr>), Option<Vec<u8>>) {
    let (mut address, mut link) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => address = Some((*found).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                address = Some((*found).into());
            }
            NeighbourAttribute::LinkLayerAddress(found) => link = Some(found.clone()),
            _ => {}
        }
    }
    let is_usable = !matches!(
        message.header.state,
        NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None
    );
    ((message.header.ifindex, address), link.filter(|_| is_usable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(state: NeighbourState, link: u8) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 7;
        message.header.state = state;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([192, 0, 2, 2].into())),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, link]),
        ];
        message
    }

    #[test]
    fn only_another_link_address_is_a_change() {
        use NeighbourState::{Delay, Failed, Probe, Reachable, Stale};
        let mut neighbours = Neighbours::default();
        let steps = [
            (Reachable, 1, true),
            (Stale, 1, false),
            (Delay, 1, false),
            (Probe, 1, false),
            (Reachable, 1, false),
            (Stale, 2, true),
            (Failed, 2, true),
            (Failed, 2, false),
            (Reachable, 2, true),
        ];
        for (state, link, expected) in steps {
            let message = RouteNetlinkMessage::NewNeighbour(neighbour(state, link));
            assert_eq!(neighbours.is_change(&message), expected, "{state:?} {link}");
        }
        assert!(neighbours.is_change(&RouteNetlinkMessage::DelNeighbour(neighbour(Stale, 2))));
        assert!(neighbours.0.is_empty());
    }
}
