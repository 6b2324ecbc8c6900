//! # mac: AEGIS-128L by the CPU's own AES instructions
//!
//! Computes the same tags as [`lockstep_wire::mac::portable`], with the eight blocks of the state in
//! registers from the first byte to the tag. The crate behind the portable code calls a function for each
//! step, which stores the state to memory and loads it again: three times as long for a datagram of one
//! message.

/// Detects the CPU's instructions, and lets the wire use them. On a CPU without them, or of another
/// architecture than x86, the portable code stays.
pub fn choose() {
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        lockstep_wire::mac::choose(x86::tag);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use lockstep_wire::mac::MacKey;
    use std::arch::x86_64::{
        __m128i, _mm_aesenc_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_srli_si128, _mm_xor_si128,
    };

    pub(super) fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("sse2")
    }

    /// The tag of a datagram. Call it only where it [`is_there`].
    pub(super) fn tag(key: &MacKey, datagram: &[u8], number: u64, behind: Option<u64>) -> [u64; 2] {
        // SAFETY: only `choose` hands this function out, after it has found both features.
        unsafe { compute(key, datagram, number, behind) }
    }

    /// One step of the state.
    #[target_feature(enable = "aes,sse2")]
    #[inline]
    fn update(state: &mut [__m128i; 8], front: __m128i, back: __m128i) {
        let old = *state;
        state[0] = _mm_aesenc_si128(old[7], _mm_xor_si128(old[0], front));
        state[1] = _mm_aesenc_si128(old[0], old[1]);
        state[2] = _mm_aesenc_si128(old[1], old[2]);
        state[3] = _mm_aesenc_si128(old[2], old[3]);
        state[4] = _mm_aesenc_si128(old[3], _mm_xor_si128(old[4], back));
        state[5] = _mm_aesenc_si128(old[4], old[5]);
        state[6] = _mm_aesenc_si128(old[5], old[6]);
        state[7] = _mm_aesenc_si128(old[6], old[7]);
    }

    #[target_feature(enable = "aes,sse2")]
    fn compute(key: &MacKey, datagram: &[u8], number: u64, behind: Option<u64>) -> [u64; 2] {
        let mut state = [0, 1, 2, 3, 4, 5, 6, 7].map(|at| bytemuck::cast(key.block(at)));
        let (words, _) = datagram.as_chunks::<8>();
        let Some((header, words)) = words.split_first_chunk::<12>() else {
            panic!("it begins with a header")
        };
        let pair = |low: [u8; 8], high: [u8; 8]| bytemuck::cast::<[[u8; 8]; 2], __m128i>([low, high]);
        // The tag, words 1 and 2, counts as zeros.
        update(&mut state, pair(header[0], [0; 8]), pair([0; 8], header[3]));
        update(&mut state, pair(header[4], header[5]), pair(header[6], header[7]));
        update(&mut state, pair(header[8], header[9]), pair(header[10], header[11]));
        // If a block follows, its first word is the number. The last block may be short.
        let mut last = [[0; 8]; 4];
        let mut count = 1;
        let rest = match words.split_first_chunk::<4>() {
            Some((block, rest)) => {
                update(&mut state, pair(number.to_le_bytes(), block[1]), pair(block[2], block[3]));
                let (blocks, rest) = rest.as_chunks::<4>();
                for block in blocks {
                    update(&mut state, pair(block[0], block[1]), pair(block[2], block[3]));
                }
                count = 0;
                rest
            }
            None => {
                last[0] = number.to_le_bytes();
                &words[1..]
            }
        };
        for word in rest {
            last[count & 3] = *word;
            count += 1;
        }
        if let Some(word) = behind {
            last[count & 3] = word.to_le_bytes();
            count += 1;
        }
        if count > 0 {
            update(&mut state, pair(last[0], last[1]), pair(last[2], last[3]));
        }
        let bytes = datagram.len() + if behind.is_some() { 8 } else { 0 };
        let lengths = _mm_set_epi64x(128, 8 * bytes as i64);
        let last = _mm_xor_si128(state[2], lengths);
        for _ in 0..7 {
            update(&mut state, last, last);
        }
        let tag = state[1..7].iter().fold(state[0], |tag, block| _mm_xor_si128(tag, *block));
        [_mm_cvtsi128_si64(tag) as u64, _mm_cvtsi128_si64(_mm_srli_si128::<8>(tag)) as u64]
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use lockstep_wire::mac::portable;

        #[test]
        fn the_instructions_give_the_same_tags_as_the_portable_code() {
            if !is_there() {
                eprintln!("SKIPPED: this CPU has no AES instructions");
                return;
            }
            let key = MacKey::new(&std::array::from_fn(|at| at as u8 * 13 + 3));
            for length in (104..2_000).chain(8_896..8_972).step_by(8) {
                let datagram: Vec<u8> = (0..length).map(|at| (at * 29 + length) as u8).collect();
                for behind in [None, Some(7), Some(u64::MAX)] {
                    let own = tag(&key, &datagram, 99, behind);
                    assert_eq!(own, portable(&key, &datagram, 99, behind), "{length} bytes, {behind:?}");
                }
            }
        }
    }
}
