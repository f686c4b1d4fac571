//! A set of addresses of Services, and how many frontends each has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use svclb_common::service::FrontendKind;

use super::{FrontendKey, visits::visit};
use crate::compact::compact;

/// One address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Uses {
    /// Frontends of the set's kinds that have it.
    frontends: u32,
    /// Whether the map has it.
    is_listed: bool,
}

/// The `ClusterIP`s of one family, or its other addresses of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AddressSet {
    addresses: BTreeMap<IpAddr, Uses>,
    /// Addresses that the map has and no frontend, or the other way round.
    odd: BTreeSet<IpAddr>,
}

/// The address of a frontend that is a `ClusterIP`.
pub(super) fn cluster_ip(key: &FrontendKey, kind: FrontendKind) -> Option<IpAddr> {
    key.address.filter(|_| kind == FrontendKind::ClusterIp)
}

/// The address of a frontend that is another one of a Service.
pub(super) fn external_ip(key: &FrontendKey, kind: FrontendKind) -> Option<IpAddr> {
    key.address.filter(|_| matches!(kind, FrontendKind::ExternalIp | FrontendKind::LoadBalancer))
}

impl AddressSet {
    /// How many frontends have `address`.
    pub(super) fn frontends(&self, address: IpAddr) -> u32 {
        visit(1);
        self.addresses.get(&address).map_or(0, |uses| uses.frontends)
    }

    /// Whether the map has `address`.
    pub(super) fn is_listed(&self, address: IpAddr) -> bool {
        self.addresses.get(&address).is_some_and(|uses| uses.is_listed)
    }

    /// Addresses that the map has and no frontend, or the other way round.
    pub(super) fn odd(&self) -> impl Iterator<Item = IpAddr> {
        self.odd.iter().copied().inspect(|_| visit(1))
    }

    /// The smallest range that holds all of them, by a look at the first and the last. Its address is not the
    /// unspecified one even where nothing is common to all, because that means none to the programs.
    pub(super) fn cover(&self) -> Option<IpNet> {
        let (first, last) = (self.addresses.first_key_value()?.0, self.addresses.last_key_value()?.0);
        let (bits, width) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => ((first.to_bits() ^ last.to_bits()).leading_zeros(), 32),
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                ((first.to_bits() ^ last.to_bits()).leading_zeros(), 128)
            }
            _ => return None,
        };
        let range = IpNet::new(*first, u8::try_from(bits.min(width)).ok()?).ok()?;
        Some(if range.network().is_unspecified() { range } else { range.trunc() })
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.addresses);
    }

    pub(super) fn add_frontend(&mut self, address: IpAddr) {
        self.change(address, |uses| uses.frontends += 1);
    }

    pub(super) fn remove_frontend(&mut self, address: IpAddr) {
        self.change(address, |uses| uses.frontends = uses.frontends.saturating_sub(1));
    }

    pub(super) fn set_listed(&mut self, address: IpAddr, is_listed: bool) {
        self.change(address, |uses| uses.is_listed = is_listed);
    }

    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Uses)) {
        let uses = self.addresses.entry(address).or_default();
        change(uses);
        let Uses { frontends, is_listed } = *uses;
        if is_listed == (frontends > 0) {
            self.odd.remove(&address);
        } else {
            self.odd.insert(address);
        }
        if !is_listed && frontends == 0 {
            self.addresses.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cover_is_the_common_prefix() {
        let cover = |addresses: &[&str]| {
            let mut all = AddressSet::default();
            for address in addresses {
                all.set_listed(address.parse().unwrap(), true);
            }
            all.cover().map(|range| range.to_string())
        };
        assert_eq!(cover(&[]), None);
        assert_eq!(cover(&["10.96.0.1"]), Some("10.96.0.1/32".into()));
        assert_eq!(cover(&["10.96.0.1", "10.96.0.10", "10.111.3.4"]), Some("10.96.0.0/12".into()));
        assert_eq!(cover(&["10.0.0.1", "192.0.2.1"]), Some("10.0.0.1/0".into()));
        assert_eq!(cover(&["fd00::1", "fd00::ff"]), Some("fd00::/120".into()));
    }
}
