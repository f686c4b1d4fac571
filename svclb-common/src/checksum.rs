//! Incremental Internet checksums, RFC 1071 and RFC 1624 (equation 3).
//!
//! All words are taken as they lie in memory: ones' complement sums do not
//! depend on byte order, so nothing here swaps bytes.

/// A ones' complement sum of 16-bit words, not yet folded.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[must_use]
pub struct Sum(u64);

impl Sum {
    /// Adds a word of 32 bits, that is two words of 16.
    #[inline(always)]
    pub fn add32(self, word: u32) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds a word of 16 bits.
    #[inline(always)]
    pub fn add16(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds what another sum holds.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Takes `old` out and puts `new` in.
    #[inline(always)]
    pub fn swap32(self, old: u32, new: u32) -> Self {
        self.add32(!old).add32(new)
    }

    /// Takes `old` out and puts `new` in.
    #[inline(always)]
    pub fn swap16(self, old: u16, new: u16) -> Self {
        self.add16(!old).add16(new)
    }

    /// The sum in 16 bits.
    #[inline(always)]
    pub fn fold(self) -> u16 {
        let mut s = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        s = (s & 0xffff) + (s >> 16);
        s as u16
    }

    /// The checksum field of data whose words this sum holds.
    #[inline(always)]
    pub fn check(self) -> u16 {
        !self.fold()
    }

    /// The checksum field after the change that this sum holds.
    #[inline(always)]
    pub fn apply(self, check: u16) -> u16 {
        adjust(check, self.fold())
    }
}

/// `check` after a change whose sum is already folded to 16 bits.
#[inline(always)]
pub fn adjust(check: u16, delta: u16) -> u16 {
    let s = u32::from(!check) + u32::from(delta);
    !((s + (s >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071, section 4.1, written as the RFC does.
    fn rfc1071(data: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn words(data: &[u8]) -> Sum {
        data.chunks_exact(4)
            .fold(Sum::default(), |s, w| s.add32(u32::from_ne_bytes([w[0], w[1], w[2], w[3]])))
    }

    /// Ones' complement has two zeros; both are the same number.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a ^ b) == 0xffff && (a == 0 || b == 0)
    }

    proptest! {
        #[test]
        fn a_whole_sum_is_the_rfcs(data in proptest::collection::vec(any::<u8>(), 1..16)) {
            let mut padded = data.clone();
            padded.resize(data.len().next_multiple_of(4), 0);
            prop_assert_eq!(words(&padded).check().to_ne_bytes(), rfc1071(&padded).to_be_bytes());
        }

        #[test]
        fn a_change_gives_what_summing_anew_gives(
            before in proptest::array::uniform16(any::<u8>()),
            new32 in any::<u32>(),
            new16 in any::<u16>(),
            at32 in 0usize..3,
        ) {
            let mut after = before;
            let old32 = u32::from_ne_bytes(before[at32 * 4..at32 * 4 + 4].try_into().unwrap());
            let old16 = u16::from_ne_bytes(before[12..14].try_into().unwrap());
            after[at32 * 4..at32 * 4 + 4].copy_from_slice(&new32.to_ne_bytes());
            after[12..14].copy_from_slice(&new16.to_ne_bytes());
            let check = u16::from_ne_bytes(rfc1071(&before).to_be_bytes());
            let got = Sum::default().swap32(old32, new32).swap16(old16, new16).apply(check);
            prop_assert!(same(got, u16::from_ne_bytes(rfc1071(&after).to_be_bytes())));
        }
    }
}
