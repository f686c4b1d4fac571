//! Telling devices apart that have the same index, one after the other.
//!
//! An index is free as soon as its device is gone, and whoever makes a device may ask for it. What was attached to the
//! first device is not on the second, though all that is asked about them may be the same.

use std::collections::BTreeMap;

use super::{Link, Network};

/// A number for each device, which the next device with its index does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Births {
    last: u64,
    /// Those that came since the first list; for all others it is 0.
    numbers: BTreeMap<u32, u64>,
}

impl Births {
    /// The number of the device that has this index.
    pub fn of(&self, index: u32) -> u64 {
        self.numbers.get(&index).copied().unwrap_or_default()
    }

    /// A device has come.
    pub(super) fn came(&mut self, index: u32) {
        self.last += 1;
        self.numbers.insert(index, self.last);
    }

    /// A device has gone.
    pub(super) fn went(&mut self, index: u32) {
        self.numbers.remove(&index);
    }
}

impl Network {
    /// Goes on with the numbers of `before` after a list: what happened in between is not known, so a device that does not
    /// look as it did is another one.
    pub(super) fn succeed(&mut self, before: &Self) {
        let looks = |link: &Link| (link.name.clone(), link.kind.clone(), link.mac);
        self.births.last = before.births.last;
        for link in self.links.values() {
            match before.links.get(&link.index) {
                Some(old) if looks(old) == looks(link) => {
                    self.births.numbers.insert(link.index, before.births.of(link.index));
                }
                _ => self.births.came(link.index),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netdev::LinkKind;

    fn network(names: &[&str]) -> Network {
        let link = |(index, name): (u32, &&str)| Link {
            index,
            name: (*name).into(),
            kind: LinkKind::Veth,
            master: None,
            lower: None,
            up: true,
            ethernet: true,
            mtu: 1500,
            mac: None,
            xdp: None,
        };
        let links = (1..).zip(names).map(link).map(|link| (link.index, link)).collect();
        Network { links, ..Network::default() }
    }

    #[test]
    fn a_list_tells_new_devices_by_their_looks() {
        let mut first = network(&["a", "b"]);
        first.births.came(2);
        let mut second = network(&["a", "b", "c"]);
        second.succeed(&first);
        assert_eq!([1, 2, 3].map(|index| second.births.of(index)), [0, 1, 2]);
        let mut third = network(&["x", "b"]);
        third.succeed(&second);
        assert_eq!([1, 2].map(|index| third.births.of(index)), [3, 1]);
        third.births.came(3);
        assert_eq!(third.births.of(3), 4, "no number is given twice");
    }
}
