//! Which devices carry programs, and as what.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Link, LinkKind, Network, glob};

/// What a device is to the datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Behind it is a pod.
    Pod,
    /// Behind it is the rest of the world.
    Uplink,
}

/// What the operator asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names of the uplinks; none means the devices of the default routes.
    pub uplinks: Vec<String>,
    /// Patterns for the names of pod devices; none means every veth and netkit.
    pub pod_globs: Vec<String>,
}

/// Why a device that was asked for, or stands out, carries no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftOut {
    /// Its packets do not start with an Ethernet header.
    NoEthernet,
    /// It is the loopback device, which is given programs by itself: with `--socket-lb=off`, and for SCTP.
    Loopback,
    /// It would be a pod's by its kind or name, and is a port of a bond or team, whose programs see its packets.
    Port,
}

/// The outcome of [`roles`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The devices that carry programs.
    pub devices: BTreeMap<u32, Role>,
    /// The devices that cannot, each with the reason.
    pub left_out: Vec<(u32, LeftOut)>,
    /// The names that were asked for as uplinks and that no device bears.
    pub missing: Vec<String>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEthernet => "its packets have no Ethernet header",
            Self::Loopback => "it carries programs with --socket-lb=off and for SCTP only",
            Self::Port => "it is a port of a bond or team, to which its packets belong",
        })
    }
}

/// Gives each device its role.
pub fn roles(network: &Network, wanted: &Wanted) -> Roles {
    let mut roles = Roles::default();
    for (&index, link) in &network.links {
        if link.kind == LinkKind::Loopback {
            roles.left_out.push((index, LeftOut::Loopback));
        } else if !link.ethernet {
            roles.left_out.push((index, LeftOut::NoEthernet));
        } else if is_uplink(network, wanted, link) {
            roles.devices.insert(index, Role::Uplink);
        } else if is_pod(wanted, link) {
            if is_bundled(network, link) {
                roles.left_out.push((index, LeftOut::Port));
            } else {
                roles.devices.insert(index, Role::Pod);
            }
        }
    }
    let names: BTreeSet<&str> = network.links.values().map(|link| link.name.as_str()).collect();
    roles.missing = wanted.uplinks.iter().filter(|name| !names.contains(name.as_str())).cloned().collect();
    roles
}

fn is_uplink(network: &Network, wanted: &Wanted, link: &Link) -> bool {
    // A tunnel brings other nodes' packets in, whatever the default route is.
    if matches!(link.kind, LinkKind::Tunnel(_)) {
        return true;
    }
    if wanted.uplinks.is_empty() {
        network.default_routes.contains(&link.index)
    } else {
        wanted.uplinks.contains(&link.name)
    }
}

fn is_pod(wanted: &Wanted, link: &Link) -> bool {
    if wanted.pod_globs.is_empty() {
        matches!(link.kind, LinkKind::Veth | LinkKind::Netkit)
    } else {
        wanted.pod_globs.iter().any(|pattern| glob::matches(pattern, &link.name))
    }
}

/// What bundles several ways to the same network. Pods are on none.
fn is_bundled(network: &Network, link: &Link) -> bool {
    let master = link.master.and_then(|master| network.links.get(&master));
    master.is_some_and(
        |master| matches!(&master.kind, LinkKind::Other(kind) if kind == "bond" || kind == "team"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Network {
        let devices = [
            (1, "lo", LinkKind::Loopback, true),
            (2, "eth0", LinkKind::Physical, true),
            (3, "eth1", LinkKind::Physical, true),
            (4, "cni0", LinkKind::Bridge, true),
            (5, "veth5", LinkKind::Veth, true),
            (6, "lxc6", LinkKind::Netkit, true),
            (7, "flannel.1", LinkKind::Tunnel("vxlan".into()), true),
            (8, "wg0", LinkKind::Tunnel("wireguard".into()), false),
            (9, "veth9", LinkKind::Veth, true),
            (10, "dummy0", LinkKind::Other("dummy".into()), true),
        ];
        let link = |(index, name, kind, ethernet): (u32, &str, LinkKind, bool)| {
            let link = Link {
                index,
                name: name.into(),
                kind,
                master: None,
                lower: None,
                up: true,
                ethernet,
                mtu: 1500,
                mac: None,
                xdp: None,
            };
            (index, link)
        };
        Network {
            links: devices.into_iter().map(link).collect(),
            default_routes: [2].into(),
            ..Network::default()
        }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn table() {
        use Role::{Pod, Uplink};
        type Case = (
            &'static str,
            &'static [&'static str], // uplinks
            &'static [&'static str], // patterns
            &'static [u32],          // default routes
            &'static [(u32, Role)],
        );
        let cases: [Case; 6] = [
            ("by default", &[], &[], &[2], &[(2, Uplink), (5, Pod), (6, Pod), (7, Uplink), (9, Pod)]),
            ("no default route", &[], &[], &[], &[(5, Pod), (6, Pod), (7, Uplink), (9, Pod)]),
            (
                "two default routes, one by a veth",
                &[],
                &[],
                &[2, 9],
                &[(2, Uplink), (5, Pod), (6, Pod), (7, Uplink), (9, Uplink)],
            ),
            (
                "a name replaces the default route",
                &["eth1"],
                &[],
                &[2],
                &[(3, Uplink), (5, Pod), (6, Pod), (7, Uplink), (9, Pod)],
            ),
            (
                "patterns replace the kinds",
                &[],
                &["lxc*", "dummy?"],
                &[2],
                &[(2, Uplink), (6, Pod), (7, Uplink), (10, Pod)],
            ),
            (
                "a device is an uplink before it is a pod's",
                &["veth5"],
                &["veth*"],
                &[2],
                &[(5, Uplink), (7, Uplink), (9, Pod)],
            ),
        ];
        for (name, uplinks, globs, routes, expected) in cases {
            let network = Network { default_routes: routes.iter().copied().collect(), ..node() };
            let wanted = Wanted { uplinks: strings(uplinks), pod_globs: strings(globs) };
            let devices: Vec<_> = roles(&network, &wanted).devices.into_iter().collect();
            assert_eq!(devices, expected, "{name}");
        }
    }

    #[test]
    fn left_out_with_a_reason() {
        let left_out = roles(&node(), &Wanted::default()).left_out;
        assert_eq!(left_out, [(1, LeftOut::Loopback), (8, LeftOut::NoEthernet)]);
        let wanted = Wanted { uplinks: strings(&["wg0"]), ..Wanted::default() };
        assert!(!roles(&node(), &wanted).devices.contains_key(&8), "asking for it does not give it a header");
    }

    /// In containers and nested nodes, a bond's ports are veths.
    #[test]
    fn a_port_of_a_bond_is_no_pods() {
        let bond = |kind: &str, master: u32| {
            let mut network = node();
            let links = &mut network.links;
            links.insert(10, Link { kind: LinkKind::Other(kind.into()), ..links[&10].clone() });
            links.insert(5, Link { master: Some(master), ..links[&5].clone() });
            network
        };
        for kind in ["bond", "team"] {
            let roles = roles(&bond(kind, 10), &Wanted::default());
            assert!(!roles.devices.contains_key(&5), "{kind}");
            assert!(roles.left_out.contains(&(5, LeftOut::Port)), "{kind}");
        }
        for (kind, master) in [("vrf", 10), ("bond", 4)] {
            let roles = roles(&bond(kind, master), &Wanted::default());
            assert_eq!(roles.devices.get(&5), Some(&Role::Pod), "below {master}");
        }
    }

    #[test]
    fn an_uplink_that_is_not_there_is_named() {
        let wanted = Wanted { uplinks: strings(&["eth0", "eth7"]), ..Wanted::default() };
        assert_eq!(roles(&node(), &wanted).missing, ["eth7"]);
    }
}
