//! Address ranges as fixtures write them, and their way into settings and maps.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use svclb_common::{
    client::PodRange,
    family::{Addr4, Addr6},
    layout::map,
    service::{RangeKey, SERVICE_RANGES},
};

use super::lab::{Lab, of};

/// `<address>/<length>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    addr: IpAddr,
    len: u32,
}

impl TryFrom<String> for Cidr {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let (addr, len) = text.split_once('/').context("no length behind the address")?;
        let cidr = Self { addr: addr.parse()?, len: len.parse()? };
        ensure!(cidr.len <= if cidr.is_v4() { 32 } else { 128 }, "too long");
        Ok(cidr)
    }
}

/// Words of an address and of a mask in network byte order.
type Words = [[u32; 4]; 2];

impl Cidr {
    /// Whether it is of IPv4.
    pub fn is_v4(self) -> bool {
        self.addr.is_ipv4()
    }

    /// Address and mask; those of IPv4 are the first words.
    fn words(self) -> Words {
        let (addr, bits) = match self.addr {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, self.len),
            IpAddr::V6(ip) => (ip.to_bits(), self.len),
        };
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        [addr, mask].map(|bits| [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be()))
    }

    /// Makes it the range of the local pods behind a device.
    pub fn detect(self, lab: &mut Lab, device: u32) -> anyhow::Result<()> {
        let [addr, mask] = self.words();
        if self.is_v4() {
            lab.insert("PODS_V4", device, PodRange { addr: Addr4(addr[0]), mask: Addr4(mask[0]) })
        } else {
            lab.insert("PODS_V6", device, PodRange { addr: Addr6(addr), mask: Addr6(mask) })
        }
    }

    /// Opens a service's load balancer addresses to it.
    pub fn admit(self, lab: &mut Lab, service: u32) -> anyhow::Result<()> {
        let len = self.len + u32::BITS;
        match self.addr {
            IpAddr::V4(ip) => {
                lab.add_prefix("SOURCE_RANGES_V4", len, RangeKey { service, addr: Addr4::from(ip) })
            }
            IpAddr::V6(ip) => {
                lab.add_prefix("SOURCE_RANGES_V6", len, RangeKey { service, addr: Addr6::from(ip) })
            }
        }
    }
}

/// Writes where addresses of Services are: the prefix of all `ClusterIP`s, and the ranges.
pub fn write(lab: &mut Lab, cover: &[Cidr], cidrs: &[Cidr]) -> anyhow::Result<()> {
    let find = |ranges: &[Cidr], is_v4: bool| -> Vec<Words> {
        ranges.iter().filter(|range| range.is_v4() == is_v4).map(|range| range.words()).collect()
    };
    for is_v4 in [true, false] {
        let mut ranges = find(cover, is_v4);
        ensure!(ranges.len() <= 1, "one range covers a family");
        ranges.resize(1, [[0; 4], [u32::MAX; 4]]);
        ranges.extend(find(cidrs, is_v4));
        let len = ranges.len() as u32 - 1;
        ranges.resize(1 + SERVICE_RANGES, [[0; 4]; 2]);
        let name = of(map::RANGES, is_v4);
        let words = if is_v4 { 1 } else { 4 };
        let mut flat: Vec<u32> =
            ranges.iter().flatten().flat_map(|words_of| words_of[..words].to_vec()).collect();
        flat.extend([len, 0]);
        match <[u32; 20]>::try_from(&flat[..]) {
            Ok(value) => lab.set(&name, 0, value)?,
            Err(_) => lab.set(&name, 0, <[u32; 74]>::try_from(&flat[..])?)?,
        }
    }
    Ok(())
}
