//! Ranges of addresses, as the Kubernetes API spells them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Family, parse_address};

/// Reads `ADDRESS/LENGTH`, the address as [`parse_address`] does; bits of the host are dropped.
pub(super) fn parse_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| is_number)?;
    Some(IpNet::new(parse_address(address)?, length).ok()?.trunc())
}

/// The family of the addresses in `range`.
pub(super) fn family_of(range: IpNet) -> Family {
    Family::of(range.addr())
}

/// Whether `range` is every address of its family.
pub(super) fn is_everything(range: IpNet) -> bool {
    range.prefix_len() == 0
}

/// The range of one address.
pub(super) fn only(address: IpAddr) -> IpNet {
    address.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_address_and_a_length() {
        let table = [
            ("10.1.0.0/16", Some("10.1.0.0/16")),
            ("10.1.2.3/16", Some("10.1.0.0/16")),
            ("010.1.0.0/16", Some("10.1.0.0/16")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("fd00::1/64", Some("fd00::/64")),
            ("::/0", Some("::/0")),
            ("10.1.0.1", None),
            ("10.1.0.0/", None),
            ("10.1.0.0/+8", None),
            ("10.1.0.0/33", None),
            ("fd00::/129", None),
            ("/8", None),
            ("x/8", None),
            (" 10.1.0.0/16", None),
            ("", None),
        ];
        for (text, expected) in table {
            let shown = parse_range(text).map(|range| range.to_string());
            assert_eq!(shown.as_deref(), expected, "{text:?}");
        }
    }
}
