//! Which uplinks take packets before the stack does (XDP), and why others do not.

use std::{collections::BTreeSet, fmt};

use super::{Features, Link, LinkKind, Network, features};
use crate::sys::ethtool;

/// What the operator asked for: `--xdp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where that is a gain.
    #[default]
    Auto,
    /// In the driver wherever it can be.
    Native,
    /// In the kernel, in front of the stack.
    Generic,
    /// Nowhere.
    Off,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum XdpHook {
    /// In the driver.
    Native,
    /// In the kernel, in front of the stack.
    Generic,
}

/// Why a device takes its packets by the TC hook alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoXdp {
    /// `--xdp=off`.
    Off,
    /// Something else runs there; a program by its number.
    Taken(u32),
    /// Packets come out of the stack, not from a wire.
    Tunnel,
    /// Frames are the master's; its kind.
    Port(String),
    /// Ports receive the frames; the kind of device.
    Bundle(String),
    /// Tags are taken out of frames, which then look as if they were none of a VLAN.
    StripsTags,
    /// A VLAN's device has no driver of its own.
    Vlan,
    /// A veth would merge packets no more.
    Veth,
    /// The driver knows nothing of XDP.
    NoDriver,
    /// Frames of this MTU have several buffers, which the driver does not hand to programs.
    Mtu(u32),
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpFacts {
    /// What made it.
    pub kind: LinkKind,
    /// What made its master.
    pub master: Option<LinkKind>,
    /// The largest packet without the link's header.
    pub mtu: u32,
    /// Whether there are devices of VLANs on it.
    pub has_vlans: bool,
    /// Whether it takes tags out of frames.
    pub strips_tags: bool,
    /// What its driver can do, where the kernel tells.
    pub features: Option<Features>,
    /// The number of a program that is not ours.
    pub other: Option<u32>,
}

/// The largest MTU whose frames fit into a page together with what the kernel keeps there.
const ONE_BUFFER: u32 = 3506;

/// Where the program of a device is to run.
pub fn decide(mode: XdpMode, facts: &XdpFacts) -> Result<XdpHook, NoXdp> {
    if mode == XdpMode::Off {
        return Err(NoXdp::Off);
    }
    if let Some(program) = facts.other {
        return Err(NoXdp::Taken(program));
    }
    match &facts.master {
        // Its ports keep their addresses and routes.
        None => {}
        Some(LinkKind::Other(kind)) if kind == "vrf" => {}
        Some(master) => return Err(NoXdp::Port(kind_name(master))),
    }
    if matches!(facts.kind, LinkKind::Tunnel(_)) {
        return Err(NoXdp::Tunnel);
    }
    if facts.has_vlans && facts.strips_tags {
        return Err(NoXdp::StripsTags);
    }
    if mode == XdpMode::Generic { Ok(XdpHook::Generic) } else { native(mode, facts) }
}

fn native(mode: XdpMode, facts: &XdpFacts) -> Result<XdpHook, NoXdp> {
    match &facts.kind {
        LinkKind::Veth if mode == XdpMode::Auto => return Err(NoXdp::Veth),
        LinkKind::Other(kind) if kind == "vlan" => return Err(NoXdp::Vlan),
        LinkKind::Other(kind) if kind == "bond" || kind == "team" => return Err(NoXdp::Bundle(kind.clone())),
        LinkKind::Bridge => return Err(NoXdp::Bundle(kind_name(&LinkKind::Bridge))),
        _ => {}
    }
    // A kernel that does not tell is asked by attaching.
    let Some(features) = facts.features else { return Ok(XdpHook::Native) };
    if !features.has(Features::BASIC) {
        return Err(NoXdp::NoDriver);
    }
    if facts.mtu > ONE_BUFFER && !features.has(Features::BUFFERS) {
        return Err(NoXdp::Mtu(facts.mtu));
    }
    Ok(XdpHook::Native)
}

fn kind_name(kind: &LinkKind) -> String {
    match kind {
        LinkKind::Bridge => "bridge".into(),
        LinkKind::Tunnel(kind) | LinkKind::Other(kind) => kind.clone(),
        _ => "device".into(),
    }
}

/// Asks the kernel for what [`decide`] wants to know of a device. A program on one of `ours` is ours.
pub fn xdp_facts(network: &Network, link: &Link, ours: &BTreeSet<u32>) -> XdpFacts {
    let is_vlan = |other: &&Link| matches!(&other.kind, LinkKind::Other(kind) if kind == "vlan");
    let has_vlans = network.links.values().filter(is_vlan).any(|vlan| vlan.lower == Some(link.index));
    let master = link.master.and_then(|index| network.links.get(&index));
    XdpFacts {
        kind: link.kind.clone(),
        master: link.master.map(|_| master.map_or(LinkKind::Physical, |master| master.kind.clone())),
        mtu: link.mtu,
        has_vlans,
        strips_tags: ethtool::flags(&link.name).is_ok_and(|flags| flags & ethtool::STRIPS_TAGS != 0),
        features: features(link.index).ok(),
        other: link.xdp.filter(|_| !ours.contains(&link.index)),
    }
}

impl fmt::Display for XdpHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

impl fmt::Display for NoXdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => write!(f, "--xdp=off"),
            Self::Taken(program) => write!(f, "another program runs there (number {program})"),
            Self::Tunnel => write!(f, "packets of a tunnel come out of the stack"),
            Self::Port(master) => write!(f, "it is a port of a {master}, to which its frames belong"),
            Self::Bundle(kind) => write!(f, "frames of a {kind} are received by its ports"),
            Self::StripsTags => write!(
                f,
                "it takes the tags out of the frames of its VLANs; ethtool -K DEVICE rxvlan off keeps them"
            ),
            Self::Vlan => write!(f, "a VLAN's device has no driver of its own; --xdp=generic works"),
            Self::Veth => write!(f, "a veth with XDP merges no packets; --xdp=native insists"),
            Self::NoDriver => write!(f, "its driver has no XDP; --xdp=generic works"),
            Self::Mtu(mtu) => {
                write!(f, "frames of MTU {mtu} have several buffers, which its driver does not support")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> XdpFacts {
        XdpFacts {
            kind: LinkKind::Physical,
            master: None,
            mtu: 1500,
            has_vlans: false,
            strips_tags: true,
            features: Some(Features(7)),
            other: None,
        }
    }

    fn of(kind: &str) -> XdpFacts {
        XdpFacts { kind: LinkKind::Other(kind.into()), features: Some(Features(0)), ..card() }
    }

    #[test]
    fn table() {
        use NoXdp::{Bundle, Mtu, NoDriver, Off, Port, StripsTags, Taken, Tunnel, Veth, Vlan};
        type Use = Result<XdpHook, NoXdp>;
        let (native, generic): (Use, Use) = (Ok(XdpHook::Native), Ok(XdpHook::Generic));
        let port = |kind: LinkKind| XdpFacts { master: Some(kind), ..card() };
        let other = |kind: &str| LinkKind::Other(kind.into());
        let veth = XdpFacts { kind: LinkKind::Veth, ..card() };
        let vlans = XdpFacts { has_vlans: true, ..card() };
        let jumbo = XdpFacts { mtu: 9000, ..card() };
        let tunnel = XdpFacts { kind: LinkKind::Tunnel("vxlan".into()), ..card() };
        let bridge = XdpFacts { kind: LinkKind::Bridge, ..card() };
        // What the device is; with auto, native, generic.
        let cases: [(&str, XdpFacts, [Use; 3]); 17] = [
            ("a card", card(), [native.clone(), native.clone(), generic.clone()]),
            (
                "the kernel does not tell",
                XdpFacts { features: None, mtu: 9000, ..card() },
                [native.clone(), native.clone(), generic.clone()],
            ),
            (
                "a driver without XDP",
                XdpFacts { features: Some(Features(0)), ..card() },
                [Err(NoDriver), Err(NoDriver), generic.clone()],
            ),
            ("a veth", veth, [Err(Veth), native.clone(), generic.clone()]),
            (
                "another program",
                XdpFacts { other: Some(7), ..card() },
                [Err(Taken(7)), Err(Taken(7)), Err(Taken(7))],
            ),
            (
                "a bond's port",
                port(other("bond")),
                [Err(Port("bond".into())), Err(Port("bond".into())), Err(Port("bond".into()))],
            ),
            (
                "a team's port",
                port(other("team")),
                [Err(Port("team".into())), Err(Port("team".into())), Err(Port("team".into()))],
            ),
            (
                "a bridge's port",
                port(LinkKind::Bridge),
                [Err(Port("bridge".into())), Err(Port("bridge".into())), Err(Port("bridge".into()))],
            ),
            ("a device of a VRF", port(other("vrf")), [native.clone(), native.clone(), generic.clone()]),
            ("a bond", of("bond"), [Err(Bundle("bond".into())), Err(Bundle("bond".into())), generic.clone()]),
            ("a team", of("team"), [Err(Bundle("team".into())), Err(Bundle("team".into())), generic.clone()]),
            (
                "a bridge",
                bridge,
                [Err(Bundle("bridge".into())), Err(Bundle("bridge".into())), generic.clone()],
            ),
            ("a VLAN's device", of("vlan"), [Err(Vlan), Err(Vlan), generic.clone()]),
            ("tags are taken out", vlans.clone(), [Err(StripsTags), Err(StripsTags), Err(StripsTags)]),
            (
                "tags stay in",
                XdpFacts { strips_tags: false, ..vlans },
                [native.clone(), native.clone(), generic.clone()],
            ),
            ("several buffers a frame", jumbo.clone(), [Err(Mtu(9000)), Err(Mtu(9000)), generic]),
            ("a tunnel", tunnel, [Err(Tunnel), Err(Tunnel), Err(Tunnel)]),
        ];
        for (name, facts, expected) in cases {
            for (mode, expected) in
                [XdpMode::Auto, XdpMode::Native, XdpMode::Generic].into_iter().zip(expected)
            {
                assert_eq!(decide(mode, &facts), expected, "{name}, {mode:?}");
            }
            assert_eq!(decide(XdpMode::Off, &facts), Err(Off), "{name}");
        }
        let features = Some(Features(Features::BUFFERS.0 | Features::BASIC.0));
        assert_eq!(decide(XdpMode::Auto, &XdpFacts { features, ..jumbo }), native, "a driver with buffers");
    }

    #[test]
    fn vlans_and_masters_are_found() {
        let link = |index, kind: &str, lower, master| Link {
            index,
            name: format!("test{index}"),
            kind: LinkKind::Other(kind.into()),
            master,
            lower,
            up: true,
            ethernet: true,
            mtu: 9000,
            mac: None,
            xdp: Some(5),
        };
        let links =
            [link(2, "dummy", None, Some(4)), link(3, "vlan", Some(2), None), link(4, "bond", None, None)];
        let network = Network {
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            ..Network::default()
        };
        let facts = |index: u32, ours: &[u32]| {
            xdp_facts(&network, &network.links[&index], &ours.iter().copied().collect())
        };
        let lower = facts(2, &[]);
        assert_eq!((lower.has_vlans, lower.other, lower.mtu), (true, Some(5), 9000));
        assert_eq!(lower.master, Some(LinkKind::Other("bond".into())));
        let vlan = facts(3, &[3]);
        assert_eq!((vlan.has_vlans, vlan.other, vlan.master), (false, None, None));
    }
}
