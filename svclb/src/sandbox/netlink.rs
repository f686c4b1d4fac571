//! The devices, addresses and routes of one namespace.

use std::{fs::File, net::IpAddr, os::fd::AsRawFd};

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::{
    address::{AddressHeaderFlags, AddressScope},
    link::{InfoData, InfoVeth},
    route::{RouteMessage, RouteScope},
};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub(super) struct Error {
    what: String,
    source: rtnetlink::Error,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    /// Where to.
    pub(super) to: IpNet,
    /// By which device.
    pub(super) device: &'a str,
    /// By which router, unless the destination is a neighbour.
    pub(super) via: Option<IpAddr>,
    /// The source address of the node's own packets.
    pub(super) from: Option<IpAddr>,
}

/// Configures one namespace.
#[derive(Clone, Debug)]
pub(super) struct Netlink(Handle);

impl Netlink {
    pub(super) fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// Makes a bridge.
    pub(super) async fn bridge(&self, name: &str) -> Result<(), Error> {
        let request = self.0.link().add(LinkBridge::new(name).build());
        request.execute().await.map_err(cannot(|| format!("make the bridge {name}")))
    }

    /// Makes a veth pair whose other end is born in another namespace.
    pub(super) async fn veth(&self, name: &str, peer: &str, peer_namespace: &File) -> Result<(), Error> {
        let peer_end = LinkUnspec::new_with_name(peer).setns_by_fd(peer_namespace.as_raw_fd()).build();
        let pair = LinkVeth::new(name, peer).set_info_data(InfoData::Veth(InfoVeth::Peer(peer_end))).build();
        let request = self.0.link().add(pair);
        request.execute().await.map_err(cannot(|| format!("make the veth pair {name} to {peer}")))
    }

    /// Makes a device a port of a bridge.
    pub(super) async fn enslave(&self, name: &str, bridge: &str) -> Result<(), Error> {
        let (index, bridge_index) = (self.index(name).await?, self.index(bridge).await?);
        let port = LinkUnspec::new_with_index(index).controller(bridge_index).build();
        let request = self.0.link().set(port);
        request.execute().await.map_err(cannot(|| format!("make {name} a port of {bridge}")))
    }

    /// Sets a device up.
    pub(super) async fn up(&self, name: &str) -> Result<(), Error> {
        let index = self.index(name).await?;
        let request = self.0.link().set(LinkUnspec::new_with_index(index).up().build());
        request.execute().await.map_err(cannot(|| format!("set {name} up")))
    }

    /// Gives a device an address.
    pub(super) async fn address(&self, name: &str, address: IpNet) -> Result<(), Error> {
        let index = self.index(name).await?;
        let mut request = self.0.address().add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            // Even where detection of duplicates is off, an address is tentative
            // until a work queue of the kernel has had its turn, and no source
            // for a route until then.
            request.message_mut().header.flags = AddressHeaderFlags::Nodad;
        }
        if is_link_local(address.addr()) {
            // Else the kernel prefers it as a source towards the whole world.
            request.message_mut().header.scope = AddressScope::Link;
        }
        request.execute().await.map_err(cannot(|| format!("give {name} the address {address}")))
    }

    /// Adds a route.
    pub(super) async fn route(&self, route: Route<'_>) -> Result<(), Error> {
        let index = self.index(route.device).await?;
        let what = || format!("add the route to {} by {}", route.to, route.device);
        let message = route.message(index).map_err(cannot(what))?;
        self.0.route().add(message).execute().await.map_err(cannot(what))
    }

    async fn index(&self, name: &str) -> Result<u32, Error> {
        let found = self.0.link().get().match_name(name).execute().try_next().await;
        let link = found.and_then(|link| link.ok_or(rtnetlink::Error::RequestFailed));
        link.map(|link| link.header.index).map_err(cannot(|| format!("find the device {name}")))
    }
}

impl Route<'_> {
    fn message(self, device: u32) -> Result<RouteMessage, rtnetlink::Error> {
        let mixed = |error: &dyn std::fmt::Display| rtnetlink::Error::InvalidNla(error.to_string());
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.to.addr(), self.to.prefix_len())
            .map_err(|error| mixed(&error))?
            .output_interface(device);
        builder = match self.via {
            Some(router) => builder.gateway(router).map_err(|error| mixed(&error))?,
            // IPv4 takes a route of a wider scope for one through a router.
            None => builder.scope(RouteScope::Link),
        };
        if let Some(source) = self.from {
            builder = builder.pref_source(source).map_err(|error| mixed(&error))?;
        }
        Ok(builder.build())
    }
}

fn cannot(what: impl FnOnce() -> String) -> impl FnOnce(rtnetlink::Error) -> Error {
    |source| Error { what: what(), source }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
