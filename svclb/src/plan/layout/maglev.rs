//! Maglev tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
//!
//! Each backend has an order of its own over all slots, and takes the next free one when it is its turn. Whoever weighs
//! more has more turns.

use std::{net::IpAddr, ops::RangeInclusive};

use svclb_common::hash::Hash;

use crate::model::Backend;

/// Sizes that a table may have; they have to be prime.
pub const SIZES: RangeInclusive<u32> = 251..=131_071;

/// The table of `backends`, which are sorted by address and port, as places among them. It has `size` slots, which is
/// prime, or more where there are more backends than half of that: each has one slot at least.
pub(super) fn table(backends: &[&Backend], size: u32) -> Vec<u32> {
    let size = (size.max(2 * backends.len() as u32)..=u32::MAX).find(|&size| is_prime(size)).unwrap_or(size);
    let heaviest = backends.iter().map(|backend| u32::from(backend.weight)).max().unwrap_or(1).max(1);
    let mut seekers: Vec<_> = backends.iter().map(|backend| Seeker::new(backend, size, heaviest)).collect();
    let mut table = vec![NOBODY; size as usize];
    let mut free = size;
    loop {
        for (at, seeker) in (0..).zip(&mut seekers) {
            if !seeker.has_turn(heaviest) {
                continue;
            }
            seeker.take(&mut table, at);
            free -= 1;
            if free == 0 {
                return table;
            }
        }
    }
}

/// A slot that is free.
const NOBODY: u32 = u32::MAX;

/// A backend that looks for slots.
struct Seeker {
    /// Where it looks next.
    next: u32,
    /// How far it goes from there.
    step: u32,
    weight: u32,
    /// A turn costs what the heaviest weighs. All begin with one turn.
    credit: u32,
}

impl Seeker {
    fn new(backend: &Backend, size: u32, heaviest: u32) -> Self {
        Self {
            next: number(backend, 0) % size,
            step: number(backend, 1) % (size - 1) + 1,
            weight: backend.weight.into(),
            credit: heaviest - u32::from(backend.weight),
        }
    }

    fn has_turn(&mut self, price: u32) -> bool {
        self.credit += self.weight;
        let can_pay = self.credit >= price;
        if can_pay {
            self.credit -= price;
        }
        can_pay
    }

    /// Takes the next free slot of its own order. There is one, and steps of less than a prime lead everywhere.
    fn take(&mut self, table: &mut [u32], name: u32) {
        loop {
            let at = self.next as usize;
            self.next = ((at + self.step as usize) % table.len()) as u32;
            if table[at] == NOBODY {
                table[at] = name;
                return;
            }
        }
    }
}

/// A number that a backend has on every node, of two independent ones.
fn number(backend: &Backend, which: u32) -> u32 {
    let hash = Hash::new().word(which).word(backend.port.into());
    match backend.address {
        IpAddr::V4(ip) => hash.word(ip.into()),
        IpAddr::V6(ip) => {
            let [a, b, c, d] = [96, 64, 32, 0].map(|shift| (u128::from(ip) >> shift) as u32);
            hash.word(a).word(b).word(c).word(d)
        }
    }
    .finish()
}

/// Whether a number is prime.
pub fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|divisor| u64::from(*divisor) * u64::from(*divisor) <= number.into());
    number >= 2 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}
