//! One address family's types in userspace.

use std::net::IpAddr;

use svclb_common::family::{Addr4, Addr6, Family, V4, V6};

use crate::model;

/// An address family with its maps' names and its addresses' conversions.
pub trait MapFamily: Family<Addr: aya::Pod + Into<IpAddr>> {
    /// What its maps' names end in.
    const SUFFIX: &str;
    /// The same family in the model.
    const MODEL: model::Family;

    /// The address, if it is one of this family.
    fn address(ip: IpAddr) -> Option<Self::Addr>;

    /// The full name of a map.
    fn map(name: &str) -> String {
        format!("{name}_{}", Self::SUFFIX)
    }
}

/// The full name of a map of a family that is known when it runs.
pub fn map_of(family: model::Family, name: &str) -> String {
    match family {
        model::Family::V4 => V4::map(name),
        model::Family::V6 => V6::map(name),
    }
}

impl MapFamily for V4 {
    const SUFFIX: &str = "V4";
    const MODEL: model::Family = model::Family::V4;

    fn address(ip: IpAddr) -> Option<Addr4> {
        match ip {
            IpAddr::V4(v4) => Some(v4.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl MapFamily for V6 {
    const SUFFIX: &str = "V6";
    const MODEL: model::Family = model::Family::V6;

    fn address(ip: IpAddr) -> Option<Addr6> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.into()),
        }
    }
}
