//! Layout 5, as it was: entries without a tag, no filters in front of the tables.

use svclb_common::{
    family::{Address, V4, V6},
    flow::{Action, Direction, FlowRecord, Lived, Owner, Recipe, Tuple},
    key::{FlowKey, Hook},
    layout::map,
};

use super::{
    fate::Fate,
    flows::{Moved, Pass, convert},
    gate,
};
use crate::datapath::{Error, pins::Pins};

/// What becomes of its maps.
pub(super) fn fate(name: &str) -> Fate {
    const FRESH: [&str; 12] = [
        map::SETTINGS,
        map::STRANGERS,
        map::FLOW_FILTER,
        map::FLOW_ERAS,
        map::FRONTEND_FILTER,
        map::XDP_UPLINKS,
        map::SEARCHED,
        map::ENTRANCES,
        map::LOADS,
        map::OUTCOMES,
        map::RECORDER,
        map::DEVICE_DROPS,
    ];
    match name {
        // There were less reasons.
        map::FLOWS | map::HALF_OPEN | map::DROPS => Fate::Converted,
        name if gate::MAPS.contains(&name) => Fate::Copied,
        name if FRESH.contains(&name) => Fate::Fresh,
        _ => Fate::Shared,
    }
}

/// Goes through its flows.
pub(super) fn flows(older: &Pins, own: &Pins, pass: Pass) -> Result<Moved, Error> {
    let v4 = convert::<V4, [u8; 64]>(older, own, pass, |key, value| record(key, value))?;
    let v6 = convert::<V6, [u8; 88]>(older, own, pass, |key, value| record(key, value))?;
    Ok(v4.and(v6))
}

/// What was behind both addresses of an entry's recipe.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
struct Rest {
    sport: u16,
    dport: u16,
    addr_delta: u16,
    port_delta: u16,
    action: u8,
    peer_hook: u8,
    direction: u8,
    proto: u8,
    service: u32,
    backend: u32,
    generation: u32,
    /// From the lowest bit: eight of state, 24 of a tick, 32 of a time in units of 2^26 ns.
    life: [u32; 2],
    /// When the next hop counts, its device, how large packets may be, both link addresses.
    hop: [u32; 6],
}

/// An entry, unless its numbers mean nothing.
fn record<A: Address>(key: &FlowKey<A>, value: &[u8]) -> Option<FlowRecord<A>> {
    let (src, value) = value.split_at_checked(size_of::<A>())?;
    let (dst, rest) = value.split_at_checked(size_of::<A>())?;
    let rest: Rest = bytemuck::try_pod_read_unaligned(rest).ok()?;
    let new = Tuple {
        src: bytemuck::pod_read_unaligned(src),
        dst: bytemuck::pod_read_unaligned(dst),
        sport: rest.sport,
        dport: rest.dport,
    };
    let direction = match rest.direction {
        0 => Direction::Original,
        1 => Direction::Reply,
        _ => return None,
    };
    let peer_hook = match rest.peer_hook {
        0 => Hook::Ingress,
        1 => Hook::Egress,
        _ => return None,
    };
    let Rest { service, backend, generation, life: [low, high], hop: [_, device, ..], .. } = rest;
    let owner = Owner { service, backend, generation };
    let mut recipe = Recipe::empty(key);
    recipe.fill(key, new, direction, Action::of(rest.action), peer_hook, owner);
    Some(FlowRecord::new(recipe, Lived::new(low & 0xff, u64::from(high) << 26), device))
}

#[cfg(test)]
mod tests {
    use svclb_common::{
        family::{Addr4, Addr6},
        flow::{FIN, SEEN, SPOKE},
    };

    use super::*;

    fn bytes<A: Address>(src: A, dst: A, rest: Rest) -> Vec<u8> {
        [bytemuck::bytes_of(&src), bytemuck::bytes_of(&dst), bytemuck::bytes_of(&rest)].concat()
    }

    const REST: Rest = Rest {
        sport: 1111,
        dport: 2222,
        addr_delta: 0,
        port_delta: 0,
        action: 3,
        peer_hook: 1,
        direction: 1,
        proto: 17,
        service: 7,
        backend: 8,
        generation: 9,
        life: [0x00ab_cd00 | SEEN | SPOKE | FIN, 1000],
        hop: [5, 12, 1500, 1, 2, 3],
    };

    fn is_carried<A: Address>([client, frontend, source, backend]: [A; 4]) {
        let key = FlowKey { src: client, dst: frontend, sport: 10, dport: 20, proto: 17, hook: 0, pad: 0 };
        let record = record(&key, &bytes(source, backend, REST)).unwrap();
        let recipe = record.recipe;
        assert!(recipe.is_for(&key) && !recipe.is_original());
        assert_eq!((recipe.src, recipe.dst, recipe.sport, recipe.dport), (source, backend, 1111, 2222));
        assert_eq!((recipe.action(), recipe.peer().hook), (Action::Deliver, Hook::Egress as u8));
        assert_eq!((recipe.service, recipe.backend, recipe.generation), (7, 8, 9));
        assert_eq!((record.life.state(), record.life.seen()), (SEEN | SPOKE | FIN, 1000 << 26));
        assert_eq!(record.hop[1], 12, "the device of a delivery stays, and no hop counts");
        assert_eq!(record.hop[0], 0);
    }

    #[test]
    fn an_entry_is_what_it_was() {
        is_carried([1, 2, 3, 4].map(Addr4));
        is_carried([1, 2, 3, 4].map(|last| Addr6([0xfd, 0, 0, last])));
    }

    #[test]
    fn values_have_the_size_that_they_had() {
        let four = Addr4(1);
        assert_eq!(bytes(four, four, REST).len(), 64);
        let six = Addr6([0; 4]);
        assert_eq!(bytes(six, six, REST).len(), 88);
    }

    #[test]
    fn what_means_nothing_is_left() {
        let key = FlowKey { src: Addr4(1), dst: Addr4(2), sport: 1, dport: 2, proto: 6, hook: 0, pad: 0 };
        for wrong in [Rest { direction: 2, ..REST }, Rest { peer_hook: 2, ..REST }] {
            assert!(record(&key, &bytes(Addr4(3), Addr4(4), wrong)).is_none());
        }
        assert!(record(&key, &[0; 63]).is_none());
    }
}
