//! The ranges that ClusterIPs are allocated from.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::ServiceCIDR;

use super::{Notice, ObjectKey, ObjectKind, Reason, cidr::parse_range, notice_board::NoticeBoard};

/// The ranges of all ServiceCIDR objects.
#[derive(Debug, Default)]
pub(super) struct ServiceCidrs {
    objects: BTreeMap<ObjectKey, (BTreeSet<IpNet>, Vec<Notice>)>,
    union: BTreeSet<IpNet>,
}

impl ServiceCidrs {
    /// Replaces what is known of the object `key`.
    pub(super) fn replace(&mut self, key: &ObjectKey, object: Option<&ServiceCIDR>, board: &mut NoticeBoard) {
        if let Some((_, notices)) = self.objects.remove(key) {
            board.withdraw(notices);
        }
        if let Some(object) = object {
            let (ranges, notices) = ranges(object);
            board.post(notices.iter().cloned());
            self.objects.insert(key.clone(), (ranges, notices));
        }
        self.union = self.objects.values().flat_map(|(ranges, _)| ranges).copied().collect();
    }

    /// The ranges of all objects.
    pub(super) fn union(&self) -> &BTreeSet<IpNet> {
        &self.union
    }
}

fn ranges(object: &ServiceCIDR) -> (BTreeSet<IpNet>, Vec<Notice>) {
    let mut ranges = BTreeSet::new();
    let mut notices = Vec::new();
    let texts = object.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    for (i, text) in texts.iter().enumerate() {
        if let Some(range) = parse_range(text) {
            ranges.insert(range);
        } else {
            let message = format!("{text:?} is not a range of addresses: ignored");
            let (kind, field) = (ObjectKind::ServiceCidr, format!("spec.cidrs[{i}]"));
            notices.push(Notice::new(kind, &object.metadata, Reason::InvalidRange, field, message));
        }
    }
    (ranges, notices)
}
