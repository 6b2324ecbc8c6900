//! # crc: CRC-32C by the CPU's own instruction, in three lanes
//!
//! The instruction takes 8 bytes and returns its result three cycles later, but takes the next 8 bytes at
//! once. So from some hundred bytes on three lanes are computed side by side, and joined by a carry-less
//! multiplication. For fewer bytes one lane is done before a general routine has looked at its input. (Gopal
//! et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011; the join by
//! `PCLMULQDQ` and one `CRC32` is from there too.)

/// Detects the CPU's instructions, and lets the wire use them. On a CPU without them, or of another
/// architecture than x86, the crate's method stays.
pub fn choose() {
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        lockstep_wire::crc::choose(x86::append);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi32_si128, _mm_cvtsi128_si64,
    };

    /// Words of 8 bytes in a lane.
    const LANE: usize = 16;
    /// Bytes of three lanes.
    const LANES: usize = 3 * 8 * LANE;

    /// Castagnoli's polynomial, bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;

    /// The factor of a state such that `CRC32` of the product is the state after `bytes` more zero bytes:
    /// x^(8 · bytes − 33), as the product has 33 bits more.
    const fn shift_by(bytes: u32) -> u32 {
        let (mut power, mut left) = (1 << 31, 8 * bytes - 33);
        while left > 0 {
            power = (power >> 1) ^ (POLYNOMIAL * (power & 1));
            left -= 1;
        }
        power
    }

    const BY_ONE: u32 = shift_by(8 * LANE as u32);
    const BY_TWO: u32 = shift_by(16 * LANE as u32);

    pub(super) fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("sse4.2") && std::arch::is_x86_feature_detected!("pclmulqdq")
    }

    /// CRC-32C of the bytes that `crc` covers, followed by `bytes`. Call it only where it [`is_there`].
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        // SAFETY: only `choose` hands this function out, after it has found both features.
        unsafe { compute(crc, bytes) }
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn compute(crc: u32, bytes: &[u8]) -> u32 {
        let mut state = u64::from(!crc);
        let (blocks, rest) = bytes.as_chunks::<LANES>();
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            let (mut second, mut third) = (0, 0);
            for at in 0..LANE {
                state = _mm_crc32_u64(state, u64::from_le_bytes(words[at]));
                second = _mm_crc32_u64(second, u64::from_le_bytes(words[LANE + at]));
                third = _mm_crc32_u64(third, u64::from_le_bytes(words[2 * LANE + at]));
            }
            state = later(state, BY_TWO) ^ later(second, BY_ONE) ^ third;
        }
        let (words, rest) = rest.as_chunks::<8>();
        let (eights, words) = words.as_chunks::<8>();
        for eight in eights {
            for word in eight {
                state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
            }
        }
        // At most seven words are left: four, two and one, without a counter for each.
        let (fours, words) = words.as_chunks::<4>();
        if let [four, ..] = fours {
            for word in four {
                state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
            }
        }
        let (twos, words) = words.as_chunks::<2>();
        if let [two, ..] = twos {
            for word in two {
                state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
            }
        }
        if let [word, ..] = words {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        let mut state = state as u32;
        for byte in rest {
            state = _mm_crc32_u8(state, *byte);
        }
        !state
    }

    /// The state that follows `state` after the zero bytes that `by` stands for.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn later(state: u64, by: u32) -> u64 {
        let product =
            _mm_clmulepi64_si128::<0>(_mm_cvtsi32_si128(state as i32), _mm_cvtsi32_si128(by as i32));
        _mm_crc32_u64(0, _mm_cvtsi128_si64(product) as u64)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A process that uses a missing instruction is killed.
        fn is_missing() -> bool {
            if !is_there() {
                println!("SKIPPED: this CPU has no CRC32 instruction");
            }
            !is_there()
        }

        /// The CPU's method and the crate's return the same checksum for every length, every place in
        /// memory, and every preceding state.
        #[test]
        fn every_length_and_alignment_gives_the_checksum_of_the_crate() {
            if is_missing() {
                return;
            }
            let bytes: Vec<u8> =
                (0..1_700u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            for len in 0..=bytes.len() - 8 {
                let piece = &bytes[len % 8..len % 8 + len];
                for crc in [0, 0x1234_5678] {
                    assert_eq!(
                        append(crc, piece),
                        crc32c::crc32c_append(crc, piece),
                        "{len} bytes behind {crc:#x}"
                    );
                }
            }
        }

        /// RFC 3720, B.4.
        #[test]
        fn the_vectors_of_iscsi_hold() {
            if is_missing() {
                return;
            }
            let ascending: Vec<u8> = (0..32).collect();
            for (bytes, crc) in
                [(&[0; 32][..], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43), (&ascending, 0x46dd_794e)]
            {
                assert_eq!(append(0, bytes), crc);
            }
        }
    }
}
