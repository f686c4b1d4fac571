//! Whether a device has room for the outer headers of direct server return.

use svclb_common::{
    encap::Encapsulation,
    family::{V4, V6},
};

use super::Link;

/// What clients send unless told otherwise: Ethernet's largest packet.
const USUAL: u32 = 1500;

/// The largest packets of IPv4 and of IPv6 that `link` carries inside others.
pub fn room(link: &Link, encapsulation: Encapsulation) -> [u32; 2] {
    [encapsulation.overhead::<V4>(), encapsulation.overhead::<V6>()]
        .map(|bytes| link.mtu.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX)))
}

/// What is wrong with that, if usual packets do not fit.
pub fn lacks_room(link: &Link, encapsulation: Encapsulation) -> Option<String> {
    let [v4, v6] = room(link, encapsulation);
    (v6 < USUAL).then(|| {
        format!(
            "{name} carries {mtu} bytes: with direct server return, clients are told by ICMP to send no more than {v4} \
             bytes (IPv4) or {v6} bytes (IPv6); an MTU of {wanted} would spare them that",
            name = link.name,
            mtu = link.mtu,
            wanted = USUAL + link.mtu - v6,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netdev::LinkKind;

    #[test]
    fn the_numbers_are_told() {
        let link = |mtu| Link {
            index: 2,
            name: "eth0".into(),
            kind: LinkKind::Physical,
            master: None,
            lower: None,
            up: true,
            ethernet: true,
            mtu,
            mac: None,
            xdp: None,
        };
        for (mtu, encapsulation, wanted) in [
            (1500, Encapsulation::Ip, Some(["1500", "1480", "1460", "1540"])),
            (1539, Encapsulation::Ip, Some(["1539", "1519", "1499", "1540"])),
            (1540, Encapsulation::Ip, None),
            (1500, Encapsulation::Gue, Some(["1500", "1472", "1452", "1548"])),
            (9000, Encapsulation::Gue, None),
        ] {
            let told = lacks_room(&link(mtu), encapsulation);
            match (&told, wanted) {
                (None, None) => {}
                (Some(line), Some(numbers)) => {
                    assert!(numbers.iter().all(|number| line.contains(number)), "{line}");
                }
                _ => panic!("{mtu}: {told:?}"),
            }
        }
    }
}
