//! Incremental `CRC32c`, for SCTP (RFC 9260 section 6.8 and appendix A).
//!
//! A CRC is linear: the CRC of two messages of one length differ by the CRC, begun at
//! zero, of their difference. A difference that is zero after its first four bytes is
//! those four bytes, moved on by the length of the message. To move on by n bytes is to
//! multiply by x^8n modulo the polynomial, and for n a power of two that is a constant.
#![expect(unsafe_code, reason = "a symbol of its own, which the verifier looks at once")]

/// The Castagnoli polynomial, bits reversed, as SCTP sends it.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Bits of a packet's length.
const LEN_BITS: usize = 16;

/// Nibbles of a CRC.
const NIBBLES: usize = 8;

/// What moves a CRC on by 2^i bytes: its i-th part says for each nibble what that one
/// becomes, and the sum of all is the whole.
static STEPS: [[[u32; 16]; NIBBLES]; LEN_BITS] = steps();

const fn steps() -> [[[u32; 16]; NIBBLES]; LEN_BITS] {
    let mut steps = [[[0; 16]; NIBBLES]; LEN_BITS];
    // The most significant bit stands for 1, so this is x^8.
    let mut power = 0x8000_0000 >> 8;
    let mut i = 0;
    while i < LEN_BITS {
        let mut at = 0;
        while at < NIBBLES * 16 {
            let (nibble, value) = (at / 16, at % 16);
            steps[i][nibble][value] = multiply((value as u32) << (4 * nibble), power);
            at += 1;
        }
        power = multiply(power, power);
        i += 1;
    }
    steps
}

/// The product of two polynomials.
const fn multiply(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    while a != 0 {
        product ^= b & 0_u32.wrapping_sub(a >> 31);
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(b & 1));
    }
    product
}

/// How the `CRC32c` of a message of `len` bytes changes when `difference` is added (exclusive
/// or) to its first four bytes, taken as a little-endian number.
///
/// A function of its own: it is many instructions, and SCTP packets are few.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn svclb_crc32c_change(difference: u32, len: u32) -> u32 {
    let mut value = difference;
    let mut i = 0;
    while i < LEN_BITS {
        let mut moved = 0;
        let mut nibble = 0;
        while nibble < NIBBLES {
            moved ^= STEPS[i][nibble][(value >> (4 * nibble)) as usize & 15];
            nibble += 1;
        }
        // No branch: the verifier would follow both ways of each bit.
        let taken = 0_u32.wrapping_sub(len >> i & 1);
        value = value & !taken | moved & taken;
        i += 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    /// Bit by bit, as appendix A of RFC 9260 describes it.
    fn crc32c(data: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for byte in data {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn the_check_value_is_that_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn a_change_of_the_ports_gives_what_summing_anew_gives(
            mut data in proptest::collection::vec(any::<u8>(), 4..3000),
            ports: [u8; 4],
        ) {
            let before = crc32c(&data);
            let old = u32::from_le_bytes(data[..4].try_into().unwrap());
            data[..4].copy_from_slice(&ports);
            let difference = old ^ u32::from_le_bytes(ports);
            prop_assert_eq!(before ^ svclb_crc32c_change(difference, data.len() as u32), crc32c(&data));
        }
    }

    #[test]
    fn the_longest_packet() {
        let mut data = vec![0x5a; 65_535];
        let before = crc32c(&data);
        data[0] ^= 0xff;
        assert_eq!(before ^ svclb_crc32c_change(0xff, 65_535), crc32c(&data));
    }
}
