//! Where a packet stands: the node's devices, addresses, routes and neighbours.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use netlink_packet_route::{
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteType},
};
use rtnetlink::{Handle, RouteMessageBuilder};
use svclb_common::{balance::LOOPBACK_IFINDEX, key::Hook, service::LOCAL_NODE_PORTS};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    datapath::{
        addresses::AddressMaps,
        attach::{Attachments, TcMode},
        pins::Pins,
        xdp::attached_xdp,
    },
    netdev::{Role, device_names},
};

/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The node's devices, addresses, routes and neighbours.
pub(super) struct Ground {
    handle: Handle,
    _connection: JoinSet<()>,
    names: BTreeMap<u32, String>,
    attachments: Attachments,
    uplinks: BTreeSet<u32>,
    xdp: BTreeSet<u32>,
    local: BTreeMap<IpAddr, u32>,
}

/// Where a packet meets programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The device's index.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// What it leads to; nothing if it carries no programs.
    pub(super) role: Option<Role>,
    /// The side at which the packet comes.
    pub(super) hook: Hook,
    /// Whether an XDP program sees it first.
    pub(super) has_xdp: bool,
    /// Whether a process of the host sends it.
    pub(super) is_host: bool,
}

/// A way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The device.
    pub(super) device: u32,
    /// The next hop: a gateway, or the address itself.
    pub(super) hop: IpAddr,
}

impl Ground {
    /// Looks at it.
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection().context("cannot open a netlink socket")?;
        let mut task = JoinSet::new();
        task.spawn(connection);
        let attachments = Attachments::adopt(pins, TcMode::Auto)?;
        Ok(Self {
            handle,
            _connection: task,
            names: device_names(),
            uplinks: attachments.uplinks(),
            attachments,
            xdp: attached_xdp(pins),
            local: AddressMaps::open(pins)?.local().collect(),
        })
    }

    /// Whether programs are attached to socket calls.
    pub(super) fn has_sockets(&self) -> bool {
        self.attachments.has_sockets()
    }

    /// Whether an address is the node's own.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.local.contains_key(&ip)
    }

    /// Addresses of the node on which node ports answer, of one family.
    pub(super) fn node_port_addresses(&self, of: IpAddr) -> Vec<IpAddr> {
        let answers = |(ip, flags): (&IpAddr, &u32)| {
            (*flags & LOCAL_NODE_PORTS != 0 && ip.is_ipv4() == of.is_ipv4()).then_some(*ip)
        };
        self.local.iter().filter_map(answers).collect()
    }

    /// The name of a device.
    pub(super) fn name(&self, index: u32) -> String {
        self.names.get(&index).cloned().unwrap_or_else(|| format!("device {index}"))
    }

    /// Where a packet from `from` to `to` meets programs. Without a device, where it is most likely to.
    pub(super) async fn place(
        &self,
        device: Option<&str>,
        from: IpAddr,
        to: IpAddr,
    ) -> anyhow::Result<Place> {
        let is_host = self.is_own(from);
        let index = match device {
            Some(name) => match self.names.iter().find(|(_, known)| *known == name) {
                Some((index, _)) => *index,
                None => bail!("--device {name}: there is no such device in this network namespace"),
            },
            // The device by which answers leave, or by which a process's packet does.
            None => match self.route(if is_host { to } else { from }).await {
                Some(route) => route.device,
                None => bail!("no route leads to {from}: name the device that it comes by with --device"),
            },
        };
        // A pod behind a bridge is known to the bridge alone; programs are on its ports.
        let ports = std::fs::read_dir(format!("/sys/class/net/{}/brif", self.name(index)));
        if let (None, Ok(_ports)) = (device, ports) {
            bail!(
                "{from} is behind the bridge {}: name its port, the pod's device, with --device",
                self.name(index)
            );
        }
        // A packet to an address of the node, from a process of it, goes by the loopback device.
        let hook = if is_host { Hook::Egress } else { Hook::Ingress };
        let role = if !self.attachments.carries(index) {
            None
        } else if self.uplinks.contains(&index) || index == LOOPBACK_IFINDEX {
            Some(Role::Uplink)
        } else {
            Some(Role::Pod)
        };
        let has_xdp = hook == Hook::Ingress && self.xdp.contains(&index);
        Ok(Place { index, name: self.name(index), role, hook, has_xdp, is_host })
    }

    /// The way to an address, as the node's stack goes.
    pub(super) async fn route(&self, to: IpAddr) -> Option<Route> {
        let message = match to {
            IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
            IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build(),
        };
        let mut routes = self.handle.route().get(message).execute();
        let route = timeout(PATIENCE, routes.try_next()).await.ok()?.ok()??;
        if matches!(route.header.kind, RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit) {
            return None;
        }
        let device = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(device) => Some(*device),
            _ => None,
        })?;
        let hop = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(hop)) => Some(IpAddr::V4(*hop)),
            RouteAttribute::Gateway(RouteAddress::Inet6(hop)) => Some(IpAddr::V6(*hop)),
            _ => None,
        });
        Some(Route { device, hop: hop.unwrap_or(to) })
    }

    /// Whether the next hop of a way has been asked for, and has not answered.
    pub(super) async fn is_dead(&self, route: &Route) -> bool {
        let mut neighbours = self.handle.neighbours().get().execute();
        let search = async {
            while let Ok(Some(found)) = neighbours.try_next().await {
                let address = found.attributes.iter().find_map(|attribute| match attribute {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
                    _ => None,
                });
                if found.header.ifindex == route.device && address == Some(route.hop) {
                    return matches!(found.header.state, NeighbourState::Failed | NeighbourState::Incomplete);
                }
            }
            false
        };
        timeout(PATIENCE, search).await.unwrap_or(false)
    }
}
