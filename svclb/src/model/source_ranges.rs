//! Who may use the load balancer addresses of a Service.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Service;

use super::{
    Family, Notice, Reason,
    cidr::{family_of, is_everything, only, parse_range},
};

/// Who may use the load balancer addresses (`spec.loadBalancerSourceRanges` of one family).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRanges {
    /// The ranges, and each VIP of the Service as a range of its own if `admits_host`.
    pub ranges: BTreeSet<IpNet>,
    /// Whether some range contains an address of this node (its Node object's, of this family).
    pub admits_host: bool,
}

impl SourceRanges {
    /// What `listed` means for the load balancer addresses `vips` of `family` on a node with the addresses
    /// `node`; `None` is everybody.
    ///
    /// Everybody may use a family that no range is of, or all of which is a range. A packet of the node to a VIP
    /// that it holds itself has that VIP as its source, so who admits the node admits the VIPs.
    pub(super) fn new(listed: &[IpNet], family: Family, vips: &[IpAddr], node: &[IpAddr]) -> Option<Self> {
        let mut ranges: BTreeSet<_> =
            listed.iter().copied().filter(|range| family_of(*range) == family).collect();
        if vips.is_empty() || ranges.is_empty() || ranges.iter().copied().any(is_everything) {
            return None;
        }
        let admits_host = node.iter().any(|address| ranges.iter().any(|range| range.contains(address)));
        if admits_host {
            ranges.extend(vips.iter().copied().map(only));
        }
        Some(Self { ranges, admits_host })
    }

    /// Whether a client with that address may pass.
    pub fn admits(&self, client: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&client))
    }
}

/// The ranges that `service` lists, and a notice for each entry that is none. Empty entries say nothing.
pub(super) fn listed(service: &Service) -> (Vec<IpNet>, Vec<Notice>) {
    let spec = service.spec.as_ref();
    let texts = spec.and_then(|spec| spec.load_balancer_source_ranges.as_deref()).unwrap_or_default();
    let mut ranges = Vec::new();
    let mut notices = Vec::new();
    for (i, text) in texts.iter().map(|text| text.trim()).enumerate().filter(|(_, text)| !text.is_empty()) {
        if let Some(range) = parse_range(text) {
            ranges.push(range);
        } else {
            let field = format!("spec.loadBalancerSourceRanges[{i}]");
            let message = format!("{text:?} is not a range of addresses: ignored");
            notices.push(Notice::service(service, Reason::InvalidRange, field, message));
        }
    }
    (ranges, notices)
}

/// A warning that the load balancer addresses of `family` are open although ranges are `listed`, for nobody
/// means that who lists ranges of the other family only.
pub(super) fn open_family(service: &Service, listed: &[IpNet], family: Family) -> Option<Notice> {
    let spec = service.spec.as_ref();
    let texts = spec.and_then(|spec| spec.load_balancer_source_ranges.as_deref()).unwrap_or_default();
    let restricts = texts.iter().any(|text| !text.trim().is_empty());
    (restricts && !listed.iter().any(|range| family_of(*range) == family)).then(|| {
        let message =
            format!("no range is {family}: the {family} load balancer addresses are open to every source");
        Notice::service(service, Reason::OpenFamily, "spec.loadBalancerSourceRanges", message)
    })
}

#[cfg(test)]
mod tests;
