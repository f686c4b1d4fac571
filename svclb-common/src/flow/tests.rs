//! Entries name each other, and know what is a sign of life.

use proptest::prelude::*;

use super::*;
use crate::family::{Addr4, Addr6};

#[test]
fn entries_have_no_padding() {
    assert_eq!(size_of::<Recipe<Addr4>>(), 36);
    assert_eq!(size_of::<Recipe<Addr6>>(), 60);
    assert_eq!(size_of::<FlowEntry<Addr4>>(), 80);
    assert_eq!(size_of::<FlowEntry<Addr6>>(), 104);
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
        there.fill(&key, new, Direction::Original, Step::plain(Action::Pass), peer, owner());
        let back_key = there.peer();
        let back_to = Tuple { src: key.dst, dst: key.src, sport: key.dport, dport: key.sport };
        let mut back = Recipe::empty(&back_key);
        back.fill(&back_key, back_to, Direction::Reply, Step::plain(Action::Pass), hook, owner());
        prop_assert_eq!(back_key.hook, peer as u8);
        prop_assert_eq!(back.peer(), key);
        prop_assert!(there.is_for(&key) && back.is_for(&back_key));
        // Whose it is shows, unless nothing is changed or the sums are the same by chance.
        let other = FlowKey { src: Addr6(new_dst), sport: new_dport ^ 1, ..key };
        prop_assume!(other.src.change(key.src, Sum::default()).fold() != 0xffff);
        prop_assert!(!there.is_for(&other));
        let other = FlowKey { proto: 17, ..key };
        prop_assert!(!there.is_for(&other));
    }
}

#[test]
fn a_reset_is_not_a_sign_of_life() {
    let key = FlowKey { src: Addr4(1), dst: Addr4(2), sport: 3, dport: 4, proto: 6, hook: 0, pad: 0 };
    let entry = FlowEntry::new(Recipe::empty(&key), 0);
    let tick = Tick::of;
    entry.touch(TcpFlags(TcpFlags::RST | TcpFlags::ACK), tick(0), || 1);
    assert!(!entry.is_seen() && entry.is_finished());
    entry.touch(TcpFlags(TcpFlags::SYN | TcpFlags::ACK), tick(63), || 2);
    assert_eq!(entry.state.load(), SEEN, "who goes on has not reset");
    assert_eq!(entry.seen.load(), 0, "the stamp is kept within a tick");
    entry.touch(TcpFlags(TcpFlags::ACK), tick(64), || TICK_NS);
    assert_eq!(entry.seen.load(), TICK_NS);
}
