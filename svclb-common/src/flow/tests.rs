//! Entries name each other, and know what is a sign of life.

use proptest::prelude::*;

use super::*;
use crate::family::{Addr4, Addr6};

/// An element of a hash table that makes room by itself: links, a hash, then key and value in steps of 8 bytes
/// (`struct htab_elem`, Linux 6.1 to 6.18).
const LINKS: usize = 48;

#[test]
fn entries_have_no_padding_and_elements_are_whole_lines() {
    assert_eq!(size_of::<Recipe<Addr4>>(), 32);
    assert_eq!(size_of::<Recipe<Addr6>>(), 56);
    assert_eq!(size_of::<FlowEntry<Addr4>>(), 64);
    assert_eq!(size_of::<FlowEntry<Addr6>>(), 88);
    assert_eq!(LINKS + size_of::<FlowKey<Addr4>>() + size_of::<FlowEntry<Addr4>>(), 2 * 64);
}

fn owner() -> Owner {
    Owner { service: 1, backend: 2, generation: 3 }
}

proptest! {
    #[test]
    fn two_directions_name_each_other(
        src: [u32; 4], dst: [u32; 4], sport: u16, dport: u16,
        new_src: [u32; 4], new_dst: [u32; 4], new_sport: u16, new_dport: u16,
        hook in 0u8..2, peer in 0u8..2,
    ) {
        let hooks = [Hook::Ingress, Hook::Egress];
        let (hook, peer) = (hooks[usize::from(hook)], hooks[usize::from(peer)]);
        let key = FlowKey { src: Addr6(src), dst: Addr6(dst), sport, dport, proto: 6, hook: hook as u8, pad: 0 };
        let new = Tuple { src: Addr6(new_src), dst: Addr6(new_dst), sport: new_sport, dport: new_dport };
        let mut there = Recipe::empty(&key);
        there.fill(&key, new, Direction::Original, Action::Pass, peer, owner());
        let back_key = there.peer();
        let back_to = Tuple { src: key.dst, dst: key.src, sport: key.dport, dport: key.sport };
        let mut back = Recipe::empty(&back_key);
        back.fill(&back_key, back_to, Direction::Reply, Action::Pass, hook, owner());
        prop_assert_eq!(back_key.hook, peer as u8);
        prop_assert_eq!(back.peer(), key);
        prop_assert!(there.is_for(&key) && back.is_for(&back_key));
        for other in [FlowKey { proto: 17, ..key }, FlowKey { hook: hook.other() as u8, ..key }] {
            prop_assert!(!there.is_for(&other));
        }
        prop_assert_eq!((there.action(), back.action()), (Action::Pass, Action::Pass));
        prop_assert!(there.is_original() && !back.is_original());
    }
}

#[test]
fn actions_directions_and_hooks_do_not_touch_each_other() {
    let key = FlowKey { src: Addr4(1), dst: Addr4(2), sport: 3, dport: 4, proto: 6, hook: 0, pad: 0 };
    let new = Tuple { src: Addr4(5), dst: Addr4(6), sport: 7, dport: 8 };
    let mut recipe = Recipe::empty(&key);
    for action in [Action::Pass, Action::Forward, Action::Reflect, Action::Deliver, Action::Tunnel] {
        for direction in [Direction::Original, Direction::Reply] {
            for hook in [Hook::Ingress, Hook::Egress] {
                recipe.fill(&key, new, direction, action, hook, owner());
                let is_original = direction == Direction::Original;
                assert_eq!((recipe.action(), recipe.is_original()), (action, is_original));
                assert_eq!(recipe.peer().hook, hook as u8);
                assert_eq!(recipe.is_one_way(), action == Action::Tunnel);
                assert_eq!(recipe.is_delivered(), is_original && action == Action::Pass);
            }
        }
    }
}
