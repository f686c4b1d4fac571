//! Whose a recipe is, in 16 bits.

use super::Recipe;
use crate::{
    family::Address,
    key::{FlowKey, word, words},
};

/// A hash of a flow's key and of what its recipe writes.
///
/// A table that makes room writes another flow's entry over one that is being read. The tag tells whose it is now, and
/// whether tuple and sums are partly the one's and partly the other's: the kernel copies values in no known order.
/// Another flow has the same tag by a chance of 1 in 65,536.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag(u16);

/// An odd number, found by trial. Neither this nor its powers up to the words of a key have 16 equal bits in a row:
/// so a change of any single bit changes the highest 16 bits of the hash. Flows that differ in one port, as one
/// client's do, have the same tag less often than by chance, and all others as often.
const FACTOR: u64 = 0xdb0d_ac6b_9a44_585d;

impl Tag {
    /// The tag that `recipe` has if it is one for packets of `key`.
    ///
    /// Their words are added in pairs, which costs an instruction each: it hides no other key, because what the
    /// recipe writes is the same in both hashes that are compared.
    #[inline(always)]
    pub(super) fn of<A: Address>(key: &FlowKey<A>, recipe: &Recipe<A>) -> Self {
        let mut hash = 0u64;
        let mut i = 0;
        while i < words::<FlowKey<A>>() {
            let pair = word(key, i).wrapping_add(word(recipe, i));
            hash = hash.wrapping_add(pair).wrapping_mul(FACTOR);
            i += 1;
        }
        Self((hash >> 48) as u16)
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;
    use crate::{
        family::{Addr4, Addr6},
        flow::{Action, Direction, Owner, Tuple},
        hash::Hash,
        key::Hook,
    };

    /// Values that look random, and are the same each time.
    struct Values(u32);

    impl Values {
        fn u32(&mut self) -> u32 {
            self.0 += 1;
            Hash::new().word(self.0).finish()
        }

        fn u16(&mut self) -> u16 {
            self.u32() as u16
        }

        fn addr4(&mut self) -> Addr4 {
            Addr4(self.u32())
        }

        fn addr6(&mut self) -> Addr6 {
            Addr6(core::array::from_fn(|_| self.u32()))
        }

        fn key<A: Address>(&mut self, addr: fn(&mut Self) -> A) -> FlowKey<A> {
            FlowKey {
                src: addr(self),
                dst: addr(self),
                sport: self.u16(),
                dport: self.u16(),
                proto: [6, 17, 132][self.u32() as usize % 3],
                hook: (self.u32() & 1) as u8,
                pad: 0,
            }
        }

        fn recipe<A: Address>(&mut self, key: &FlowKey<A>, addr: fn(&mut Self) -> A) -> Recipe<A> {
            let new = Tuple { src: addr(self), dst: addr(self), sport: self.u16(), dport: self.u16() };
            let owner = Owner { service: self.u32(), backend: self.u32(), generation: self.u32() };
            let mut recipe = Recipe::empty(key);
            recipe.fill(key, new, Direction::Original, Action::Pass, Hook::Egress, owner);
            recipe
        }
    }

    #[test]
    fn the_factors_bring_each_bit_to_the_top() {
        let mut power = 1u64;
        for exponent in 1..=words::<FlowKey<Addr6>>() {
            power = power.wrapping_mul(FACTOR);
            for bit in 0..u64::BITS {
                let top = (power << bit) >> 48;
                assert!(top != 0 && top != 0xffff, "power {exponent}, bit {bit}");
            }
        }
    }

    /// What the tag covers is as long as a key, and ends with the sums.
    #[test]
    fn words_of_key_and_recipe_are_as_many() {
        assert_eq!(offset_of!(Recipe<Addr4>, port_delta) + size_of::<u16>(), size_of::<FlowKey<Addr4>>());
        assert_eq!(offset_of!(Recipe<Addr6>, port_delta) + size_of::<u16>(), size_of::<FlowKey<Addr6>>());
    }

    /// The key with one bit changed.
    fn flipped<A: Address>(key: &FlowKey<A>, bit: usize) -> FlowKey<A> {
        let flip = |addr: A, bit: usize| {
            let mut addr = addr;
            bytemuck::bytes_of_mut(&mut addr)[bit / 8] ^= 1 << (bit % 8);
            addr
        };
        let addr = size_of::<A>() * 8;
        match bit.checked_sub(2 * addr) {
            None if bit < addr => FlowKey { src: flip(key.src, bit), ..*key },
            None => FlowKey { dst: flip(key.dst, bit - addr), ..*key },
            Some(bit @ 0..16) => FlowKey { sport: key.sport ^ 1 << bit, ..*key },
            Some(bit @ 16..32) => FlowKey { dport: key.dport ^ 1 << (bit - 16), ..*key },
            Some(bit @ 32..40) => FlowKey { proto: key.proto ^ 1 << (bit - 32), ..*key },
            Some(bit) => FlowKey { hook: key.hook ^ 1 << (bit - 40), ..*key },
        }
    }

    fn each_bit_counts<A: Address>(addr: fn(&mut Values) -> A) {
        let mut values = Values(0);
        let bits = size_of::<A>() * 2 * 8 + 48;
        for _ in 0..500 {
            let key = values.key(addr);
            let recipe = values.recipe(&key, addr);
            assert!(recipe.is_for(&key));
            for bit in 0..bits {
                let other = flipped(&key, bit);
                assert!(!recipe.is_for(&other), "bit {bit} of {key:?}");
                // The same bit of what is written: the table has begun to write another entry.
                let there = FlowKey { src: recipe.src, dst: recipe.dst, ..key };
                let there = FlowKey { sport: recipe.sport, dport: recipe.dport, ..there };
                let FlowKey { src, dst, sport, dport, .. } = flipped(&there, bit);
                let torn = Recipe { src, dst, sport, dport, ..recipe };
                assert!(torn == recipe || !torn.is_for(&key), "bit {bit} of {recipe:?}");
            }
            for bit in 0..16 {
                let torn = Recipe { addr_delta: recipe.addr_delta ^ 1 << bit, ..recipe };
                assert!(!torn.is_for(&key));
                let torn = Recipe { port_delta: recipe.port_delta ^ 1 << bit, ..recipe };
                assert!(!torn.is_for(&key));
            }
        }
    }

    #[test]
    fn a_change_of_any_bit_of_key_or_tuple_is_seen() {
        each_bit_counts(Values::addr4);
        each_bit_counts(Values::addr6);
    }

    /// How two flows may differ.
    type Change<A> = fn(&FlowKey<A>, &FlowKey<A>) -> FlowKey<A>;

    fn meet_by_chance_only<A: Address>(addr: fn(&mut Values) -> A) {
        const PAIRS: u32 = 1 << 17;
        let changes: [(&str, Change<A>); 8] = [
            ("source", |key, other| FlowKey { src: other.src, ..*key }),
            ("destination", |key, other| FlowKey { dst: other.dst, ..*key }),
            ("both addresses", |key, other| FlowKey { src: other.src, dst: other.dst, ..*key }),
            ("source port", |key, other| FlowKey { sport: other.sport, ..*key }),
            ("destination port", |key, other| FlowKey { dport: other.dport, ..*key }),
            ("both ports", |key, other| FlowKey { sport: other.sport, dport: other.dport, ..*key }),
            ("ports exchanged", |key, _| FlowKey { sport: key.dport, dport: key.sport, ..*key }),
            ("all", |_, other| *other),
        ];
        let mut values = Values(0);
        for (name, change) in changes {
            let (mut pairs, mut met) = (0, 0);
            while pairs < PAIRS {
                let (key, other) = (values.key(addr), values.key(addr));
                let other = change(&key, &other);
                if other == key {
                    continue;
                }
                pairs += 1;
                met += u32::from(Recipe::empty(&key).is_for(&other));
            }
            // Two are to be expected.
            assert!(met <= 10, "{name}: {met} of {PAIRS}");
        }
    }

    #[test]
    fn flows_that_differ_meet_by_chance_only() {
        meet_by_chance_only(Values::addr4);
        meet_by_chance_only(Values::addr6);
    }

    /// The next flow of a client comes from the next port, that of the next pod from the next address.
    #[test]
    fn neighbours_differ() {
        let first = Values(0).key(Values::addr4);
        let recipe = Recipe::empty(&first);
        for step in 1..1000 {
            let port = (u16::from_be(first.sport).wrapping_add(step)).to_be();
            assert!(!recipe.is_for(&FlowKey { sport: port, ..first }), "port + {step}");
        }
        let met = (1..1000_u32).filter(|step| {
            let src = Addr4(u32::from_be(first.src.0).wrapping_add(*step).to_be());
            recipe.is_for(&FlowKey { src, ..first })
        });
        assert_eq!(met.count(), 0);
    }
}
