//! From the node's network to what is attached, and to the addresses that programs know.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
};

use svclb_common::{
    config::SocketMode,
    service::{LOCAL_ADDRESS, LOCAL_NODE_PORTS},
};

use crate::{
    datapath::{addresses::Addresses, attach::Wanted, xdp::WantedXdp},
    netdev::{self, Network, NoXdp, Role, XdpHook, XdpMode, decide_xdp, roles, xdp_facts},
};

/// What the operator said about devices and sockets.
#[derive(Clone, Debug)]
pub struct Devices {
    /// `--cgroup`; none with `--socket-lb=off`.
    pub cgroup: Option<PathBuf>,
    /// `--socket-lb`.
    pub socket_mode: SocketMode,
    /// `--uplink`.
    pub uplinks: Vec<String>,
    /// `--pod-interface`.
    pub pod_globs: Vec<String>,
    /// `--xdp`.
    pub xdp: XdpMode,
}

impl Devices {
    /// The roles of all devices.
    pub fn roles(&self, network: &Network) -> netdev::Roles {
        let wanted = netdev::Wanted { uplinks: self.uplinks.clone(), pod_globs: self.pod_globs.clone() };
        roles(network, &wanted)
    }

    /// For each uplink where its XDP program is to run, or why it has none. `ours` are devices with an
    /// XDP program of svclb's.
    pub fn xdp(&self, network: &Network, ours: &BTreeSet<u32>) -> BTreeMap<u32, Result<XdpHook, NoXdp>> {
        self.xdp_of(&self.roles(network), network, ours)
    }

    fn xdp_of(
        &self,
        roles: &netdev::Roles,
        network: &Network,
        ours: &BTreeSet<u32>,
    ) -> BTreeMap<u32, Result<XdpHook, NoXdp>> {
        let uplinks = roles.devices.iter().filter(|(_, role)| **role == Role::Uplink);
        let links = uplinks.filter_map(|(index, _)| Some((*index, network.links.get(index)?)));
        links.map(|(index, link)| (index, decide_xdp(self.xdp, &xdp_facts(network, link, ours)))).collect()
    }

    /// What is to be attached. A device in `uplinks` that the default route has left
    /// stays an uplink while it is there: routes come and go with every renewal of a
    /// lease, and answers must find their program meanwhile.
    pub(super) fn chosen(&self, network: &Network, uplinks: &BTreeSet<u32>, xdp: &BTreeSet<u32>) -> Chosen {
        let mut sticky = network.clone();
        sticky.default_routes.extend(uplinks.iter().filter(|index| network.links.contains_key(index)));
        let network = &sticky;
        let named = |(index, role)| Some((index, (network.links.get(&index)?.name.clone(), role)));
        let roles = self.roles(network);
        let decisions = self.xdp_of(&roles, network, xdp);
        let mut wanted = Wanted {
            cgroup: self.cgroup.clone(),
            devices: roles.devices.into_iter().filter_map(named).collect(),
            loopback: self.socket_mode == SocketMode::Off,
            births: network.births.clone(),
            xdp: BTreeMap::new(),
        };
        let mut without_xdp = Vec::new();
        for (index, decision) in decisions {
            let Some(link) = network.links.get(&index) else { continue };
            match decision {
                Ok(hook) => {
                    let (name, mtu, up) = (link.name.clone(), link.mtu, link.up);
                    wanted.xdp.insert(index, WantedXdp { name, hook, mtu, up });
                }
                Err(NoXdp::Off) => {}
                Err(reason) => without_xdp.push(format!("{}: no XDP: {reason}", link.name)),
            }
        }
        Chosen { wanted, missing: roles.missing, without_xdp }
    }
}

/// What follows from the operator's words and the node's network.
pub(super) struct Chosen {
    /// What is to be attached.
    pub(super) wanted: Wanted,
    /// Devices that the operator has named and that are not there.
    pub(super) missing: Vec<String>,
    /// Uplinks that have no XDP program, and why.
    pub(super) without_xdp: Vec<String>,
}

/// The addresses that programs know.
///
/// Loopback addresses are left out: they are everybody's own, and programs tell them
/// apart by themselves. Link-local ones are not unique on the node, so no frontend and
/// no source translation uses them. Only devices that carry programs lead anywhere: by
/// another one answers would come back untranslated.
pub(super) fn addresses(
    network: &Network,
    carries: impl Fn(u32) -> bool,
    node_ports: impl Fn(IpAddr) -> bool,
) -> Addresses {
    let usable = |ip: &IpAddr| !ip.is_loopback() && !is_link_local(ip);
    let local: BTreeSet<_> = network.addresses.iter().map(|(_, ip)| *ip).filter(usable).collect();
    let on = |index: u32, v4: bool| {
        network
            .addresses
            .iter()
            .find(|(link, ip)| *link == index && ip.is_ipv4() == v4 && usable(ip))
            .map(|(_, ip)| *ip)
    };
    // A device without an address of its own is used under the address of the way out.
    let primary = |v4: bool| network.default_routes.iter().find_map(|index| on(*index, v4));
    let any = |v4: bool| local.iter().find(|ip| ip.is_ipv4() == v4).copied();
    let source = |index: u32, v4: bool| on(index, v4).or_else(|| primary(v4)).or_else(|| any(v4));
    // What leaves by a bridge passes one of its ports.
    let ports = network.links.values().filter(|link| carries(link.index)).filter_map(|link| link.master);
    let ports: BTreeSet<_> = ports.collect();
    let sources: BTreeMap<_, Vec<_>> = network
        .links
        .keys()
        .filter(|index| carries(**index) || ports.contains(index))
        .map(|index| (*index, [true, false].into_iter().filter_map(|v4| source(*index, v4)).collect()))
        .collect();
    let flags = |ip| if node_ports(ip) { LOCAL_ADDRESS | LOCAL_NODE_PORTS } else { LOCAL_ADDRESS };
    let local = local.into_iter().map(|ip| (ip, flags(ip))).collect();
    Addresses { local, sources }
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netdev::{Link, LinkKind};

    fn network(links: &[u32], addresses: &[(u32, &str)], default_routes: &[u32]) -> Network {
        let link = |index: &u32| Link {
            index: *index,
            name: format!("dev{index}"),
            kind: LinkKind::Veth,
            master: None,
            lower: None,
            up: true,
            ethernet: true,
            mtu: 1500,
            mac: None,
            xdp: None,
        };
        Network {
            links: links.iter().map(|index| (*index, link(index))).collect(),
            addresses: addresses.iter().map(|(index, ip)| (*index, ip.parse().unwrap())).collect(),
            default_routes: default_routes.iter().copied().collect(),
            ..Network::default()
        }
    }

    #[test]
    fn a_device_is_used_under_its_own_address_or_that_of_the_way_out() {
        let network = network(
            &[1, 2, 3, 4],
            &[
                (1, "127.0.0.1"),
                (1, "::1"),
                (2, "192.0.2.11"),
                (2, "fe80::2"),
                (2, "2001:db8::11"),
                (3, "10.244.1.1"),
            ],
            &[2],
        );
        let second = |ip: IpAddr| ip != "10.244.1.1".parse::<IpAddr>().unwrap();
        let got = addresses(&network, |index| index > 1, second);
        let flags: Vec<_> = got.local.values().copied().collect();
        let both = LOCAL_ADDRESS | LOCAL_NODE_PORTS;
        assert_eq!(flags, [LOCAL_ADDRESS, both, both]);
        assert_eq!(got.sources.keys().copied().collect::<Vec<_>>(), [2, 3, 4]);
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(
            got.local.into_keys().collect::<Vec<_>>(),
            ips(&["10.244.1.1", "192.0.2.11", "2001:db8::11"])
        );
        assert_eq!(got.sources[&2], ips(&["192.0.2.11", "2001:db8::11"]));
        assert_eq!(got.sources[&3], ips(&["10.244.1.1", "2001:db8::11"]));
        assert_eq!(got.sources[&4], ips(&["192.0.2.11", "2001:db8::11"]));
    }
}
