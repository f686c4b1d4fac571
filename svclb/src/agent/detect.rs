//! Who is a local pod: kube-proxy's four ways to tell, as rules for programs.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use svclb_common::client::ANY_DEVICE;

use crate::{
    config::{ClusterCidrs, DetectLocal},
    datapath::pods::Rules,
    model::{Family, NodeState},
    netdev::{Link, Network},
};

/// The rules that `detect` asks for; `None` until they are known.
///
/// kube-proxy waits for the ranges of its Node, and ends when they change. Here the tables stay as
/// they are until the Node is known, and follow it.
pub(super) fn rules(
    detect: &DetectLocal,
    cluster: &ClusterCidrs,
    node: &NodeState,
    network: &Network,
) -> Option<Rules> {
    match detect {
        DetectLocal::ClusterCidr => Some(everywhere(cluster.0.iter().copied())),
        DetectLocal::NodeCidr => node.exists.then(|| everywhere(first_of_each_family(&node.pod_cidrs))),
        DetectLocal::BridgeInterface { name } => Some(behind(network, |link| link.name == *name)),
        DetectLocal::InterfaceNamePrefix { prefix } => {
            Some(behind(network, |link| link.name.starts_with(prefix.as_str())))
        }
    }
}

/// Of several ranges of a family kube-proxy takes the first.
fn first_of_each_family(ranges: &[IpNet]) -> impl Iterator<Item = IpNet> {
    Family::ALL
        .into_iter()
        .filter_map(|family| ranges.iter().copied().find(|range| Family::of(range.addr()) == family))
}

/// One rule for all devices.
fn everywhere(ranges: impl Iterator<Item = IpNet>) -> Rules {
    let ranges: Vec<_> = ranges.map(|range| range.trunc()).collect();
    if ranges.is_empty() { Rules::new() } else { Rules::from([(ANY_DEVICE, ranges)]) }
}

/// Everybody behind the devices that `counts` holds for, and nobody behind others. A packet that
/// passes the port of a bridge comes from the bridge, as the node's stack sees it.
fn behind(network: &Network, counts: impl Fn(&Link) -> bool) -> Rules {
    let master = |link: &Link| link.master.and_then(|index| network.links.get(&index));
    let links = network.links.values().filter(|link| counts(link) || master(link).is_some_and(&counts));
    let everybody = vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let mut rules: BTreeMap<_, _> = links.map(|link| (link.index, everybody.clone())).collect();
    rules.insert(ANY_DEVICE, nobody());
    rules
}

/// The unspecified addresses, which no client has.
fn nobody() -> Vec<IpNet> {
    let whole = |range: IpNet| IpNet::from(range.addr());
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())].map(whole).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netdev::LinkKind;

    const CNI0: u32 = 4;

    fn network() -> Network {
        let devices = [(2, "eth0", None), (CNI0, "cni0", None), (5, "veth5", Some(CNI0)), (6, "cali6", None)];
        let link = |(index, name, master): (u32, &str, Option<u32>)| {
            let link = Link {
                index,
                name: name.into(),
                kind: LinkKind::Veth,
                master,
                lower: None,
                up: true,
                ethernet: true,
                mtu: 1500,
                mac: None,
                xdp: None,
            };
            (index, link)
        };
        Network { links: devices.into_iter().map(link).collect(), ..Network::default() }
    }

    fn told(detect: &DetectLocal, cluster: &str, pod_cidrs: Option<&[&str]>) -> Option<Vec<(u32, String)>> {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let node = NodeState {
            exists: pod_cidrs.is_some(),
            pod_cidrs: pod_cidrs.map(ranges).unwrap_or_default(),
            ..NodeState::default()
        };
        let rules = rules(detect, &cluster.parse().unwrap(), &node, &network())?;
        let line = |ranges: Vec<IpNet>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        Some(rules.into_iter().map(|(index, ranges)| (index, line(ranges))).collect())
    }

    #[test]
    fn every_mode() {
        type Case =
            (DetectLocal, &'static str, Option<&'static [&'static str]>, Option<Vec<(u32, &'static str)>>);
        let bridge = |name: &str| DetectLocal::BridgeInterface { name: name.into() };
        let prefix = |prefix: &str| DetectLocal::InterfaceNamePrefix { prefix: prefix.into() };
        let (all, none) = ("0.0.0.0/0 ::/0", "0.0.0.0/32 ::/128");
        let cases: Vec<Case> = vec![
            (DetectLocal::ClusterCidr, "", None, Some(vec![])),
            (
                DetectLocal::ClusterCidr,
                "10.244.0.0/16",
                Some(&["10.1.0.0/24"]),
                Some(vec![(0, "10.244.0.0/16")]),
            ),
            (DetectLocal::ClusterCidr, "fd00::/48,10.0.0.0/8", None, Some(vec![(0, "fd00::/48 10.0.0.0/8")])),
            (DetectLocal::NodeCidr, "10.244.0.0/16", None, None),
            (DetectLocal::NodeCidr, "10.244.0.0/16", Some(&[]), Some(vec![])),
            (
                DetectLocal::NodeCidr,
                "",
                Some(&["10.244.1.0/24", "10.245.1.0/24", "fd00:244:1::/64"]),
                Some(vec![(0, "10.244.1.0/24 fd00:244:1::/64")]),
            ),
            (bridge("cni0"), "10.244.0.0/16", None, Some(vec![(0, none), (CNI0, all), (5, all)])),
            (bridge("cni"), "", None, Some(vec![(0, none)])),
            (prefix("cali"), "", None, Some(vec![(0, none), (6, all)])),
            (prefix("c"), "", None, Some(vec![(0, none), (CNI0, all), (5, all), (6, all)])),
        ];
        for (detect, cluster, pod_cidrs, expected) in cases {
            let expected = expected
                .map(|rules| rules.into_iter().map(|(index, line)| (index, line.to_owned())).collect());
            assert_eq!(told(&detect, cluster, pod_cidrs), expected, "{detect:?} {cluster} {pod_cidrs:?}");
        }
    }
}
